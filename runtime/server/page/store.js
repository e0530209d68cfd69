// What the browser keeps: conversations, settings, theme and, if asked for, the API key. A conversation lies under a key
// of its own, and everything also lies in memory, so that a store that is full, or closed to this page, loses nothing
// before the page is left.

const kConversation = "rotor.conversation.";
const kFormat = "rotor-conversations";
const kRoles = ["user", "assistant", "system"];

/** Also on plain http, where crypto.randomUUID is missing. */
const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

export const newConversation = (system) => ({id: newId(), title: "", system, created: Date.now(), updated: Date.now(), messages: []});

/** Those of an answer's sources that are some. */
export const usableSources = (sources) => sources.filter((source) => Number.isInteger(source?.number));

/** Throws Error saying what is no conversation about a value that came from outside. */
function checkConversation(value) {
  const isText = (text) => typeof text === "string";
  if (typeof value !== "object" || value === null) throw new Error("a conversation is no object");
  if (!isText(value.id) || !/^[\w-]{1,64}$/.test(value.id)) throw new Error("a conversation has no usable id");
  if (!Array.isArray(value.messages)) throw new Error(`conversation ${value.id} has no list of messages`);
  for (const [i, message] of value.messages.entries()) {
    if (!kRoles.includes(message?.role) || !isText(message.content)) {
      throw new Error(`message ${i + 1} of conversation ${value.id} has no role or no content`);
    }
    if (message.error !== undefined && !isText(message.error)) delete message.error;
    if (typeof message.stats !== "object") delete message.stats;
    if (typeof message.retrieval !== "object") delete message.retrieval;
    for (const list of ["sources", "cited"]) if (!Array.isArray(message[list])) delete message[list];
    if (message.sources) message.sources = usableSources(message.sources);
  }
  value.title = isText(value.title) ? value.title : "";
  value.system = isText(value.system) ? value.system : "";
  for (const key of ["created", "updated"]) value[key] = Number.isFinite(value[key]) ? value[key] : Date.now();
  return value;
}

export class Store {
  /** `onfull(message)`: something cannot be kept. `onchange(id)`: another tab of this browser changed a conversation. */
  constructor(onfull, onchange) {
    this.onfull_ = onfull;
    this.conversations_ = new Map();
    this.values_ = new Map();  // of small keys that the browser would not keep
    for (const key of this.keys_()) this.read_(key);
    addEventListener("storage", (event) => {
      if (!event.key?.startsWith(kConversation)) return;
      if (event.newValue === null) this.conversations_.delete(event.key.slice(kConversation.length));
      else this.read_(event.key);
      onchange(event.key.slice(kConversation.length));
    });
  }

  /** The newest first. */
  list() {
    return [...this.conversations_.values()].sort((a, b) => b.updated - a.updated);
  }
  get(id) {
    return this.conversations_.get(id);
  }
  save(conversation) {
    this.conversations_.set(conversation.id, conversation);
    this.write_(kConversation + conversation.id, JSON.stringify(conversation));
  }
  remove(id) {
    this.conversations_.delete(id);
    this.write_(kConversation + id, null);
  }

  exported(conversations = this.list()) {
    return JSON.stringify({format: kFormat, version: 1, conversations}, null, 1);
  }

  /** Adds what an exported file holds; a conversation that is here already, but says other things, comes beside it.
      Returns the number of conversations. Throws Error. */
  import(text) {
    let file;
    try {
      file = JSON.parse(text);
    } catch {
      throw new Error("it is no JSON");
    }
    if (file?.format !== kFormat || !Array.isArray(file.conversations)) throw new Error("it is no export of conversations");
    if (file.version !== 1) throw new Error(`it has version ${file.version}, and this page reads version 1`);
    const conversations = file.conversations.map(checkConversation);
    for (const conversation of conversations) {
      const here = this.get(conversation.id);
      if (here && JSON.stringify(here.messages) !== JSON.stringify(conversation.messages)) conversation.id = newId();
      this.save(conversation);
    }
    return conversations.length;
  }

  settings() {
    try {
      return JSON.parse(this.value_("rotor.settings")) ?? {};
    } catch {
      return {};
    }
  }
  saveSettings(settings) {
    this.write_("rotor.settings", JSON.stringify(settings));
  }

  theme() {
    return this.value_("rotor.theme") ?? "system";
  }
  saveTheme(theme) {
    this.write_("rotor.theme", theme === "system" ? null : theme);
  }

  /** The API key is forgotten with the tab, unless it is to be kept. */
  apiKey() {
    const kept = this.value_("rotor.key");
    return {key: kept ?? this.value_("rotor.key", "sessionStorage") ?? "", kept: kept !== null};
  }
  saveApiKey(key, keep) {
    this.write_("rotor.key", keep && key ? key : null);
    this.write_("rotor.key", !keep && key ? key : null, "sessionStorage");
  }

  keys_() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(kConversation));
    } catch {
      return [];
    }
  }
  /** What is broken in the store is left there and not shown. */
  read_(key) {
    try {
      const conversation = checkConversation(JSON.parse(localStorage.getItem(key)));
      if (kConversation + conversation.id === key) this.conversations_.set(conversation.id, conversation);
    } catch (error) {
      console.warn(`${key} is left out:`, error.message);
    }
  }
  value_(key, area = "localStorage") {
    const value = this.values_.get(area + key);
    if (value !== undefined) return value;
    try {
      return window[area].getItem(key);
    } catch {
      return null;
    }
  }
  write_(key, value, area = "localStorage") {
    this.values_.delete(area + key);
    try {
      if (value === null) window[area].removeItem(key);
      else window[area].setItem(key, value);
    } catch (error) {
      if (!key.startsWith(kConversation)) this.values_.set(area + key, value);
      this.onfull_(error.name === "QuotaExceededError" || error.name === "NS_ERROR_DOM_QUOTA_REACHED"
        ? "The browser's store is full: what comes now is lost when this page is closed. Export conversations and delete some."
        : "This browser keeps nothing for this page: conversations are lost when it is closed. Export what you need.");
    }
  }
}
