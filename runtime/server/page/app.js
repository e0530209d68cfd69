// Puts the page's parts together: store, settings, list of conversations, messages, and the line that one types in.
import {listModels} from "./api.js";
import {Chat} from "./chat.js";
import {byId, element, fitHeight, saveFile, setIcon} from "./dom.js";
import {Settings} from "./settings.js";
import {Sidebar} from "./sidebar.js";
import {Store} from "./store.js";
import {Thread} from "./thread.js";

const kToastMs = 8000;
const kNoMouse = matchMedia("(pointer: coarse)");

/** A line over the messages that stays until it is dealt with. */
function notice(text, action, onclick) {
  byId("notice-text").textContent = text;
  byId("notice-action").textContent = action;
  byId("notice-action").onclick = () => {
    byId("notice").hidden = true;
    onclick?.();
  };
  byId("notice").hidden = false;
}

/** A line that goes by itself. `undo`: what its button takes back. */
let toastTimer = null;
function toast(text, undo) {
  clearTimeout(toastTimer);
  byId("toast").replaceChildren(text);
  const close = () => byId("toast").replaceChildren();
  if (undo) byId("toast").append(element("button", {type: "button", onclick: () => (close(), undo())}, "Undo"));
  toastTimer = setTimeout(close, kToastMs);
}

/** To a screen reader. */
const announce = (text) => (byId("status").textContent = text);

const store = new Store((message) => notice(message, "Close"), (id) => changedElsewhere(id));
const settings = new Settings(store, {
  system(text) {
    chat.conversation.system = text;
    if (chat.messages.length > 0) store.save(chat.conversation);
  },
  key: () => loadModels(),
  imported(count) {
    showList();
    toast(`${count} ${count === 1 ? "conversation" : "conversations"} imported.`);
  },
  complain: (text) => notice(text, "Close"),
});

const thread = new Thread({
  regenerate: () => chat.running || undoable("Answering anew.", () => chat.regenerate()),
  resend: (message, text) => undoable("The conversation goes on from your new text.", () => chat.resend(message, text)),
  delete: (message) => undoable("Message deleted.", () => chat.delete(message)),
});

const chat = new Chat(store, () => ({...settings.values, retrieval: settings.retrieval, key: settings.key}), {
  opened() {
    thread.open(chat.messages);
    settings.showSystem(chat.conversation.system);
    running(false);
    showList();
  },
  added: (message) => thread.add(message),
  changed: (message) => thread.change(message, message.stats?.seconds !== undefined),
  removed: (messages) => thread.remove(messages),
  running,
  listed: () => showList(),
});

const sidebar = new Sidebar({
  open: (id) => open(store.get(id)),
  rename(id, title) {
    const conversation = store.get(id);
    if (conversation && title !== conversation.title) store.save(Object.assign(conversation, {title}));
    showList();
  },
  exportOne(id) {
    const name = store.get(id).title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 40) || "conversation";
    saveFile(`rotor-${name}.json`, store.exported([store.get(id)]), "application/json");
  },
  remove(id) {
    const conversation = store.get(id);
    store.remove(id);
    if (chat.conversation.id === id) chat.open();
    showList();
    byId("new-conversation").focus();
    toast("Conversation deleted.", () => {
      store.save(conversation);
      showList();
    });
  },
});

/** Where a finger types, the focus would bring up a keyboard that nobody asked for. */
function focusMessage() {
  if (!kNoMouse.matches) byId("message").focus();
}

function open(conversation) {
  chat.open(conversation);
  sidebar.leave();
  focusMessage();
}

function showList() {
  const {id} = chat.conversation;
  sidebar.update(store.list(), id);
  // A reload opens the same conversation again.
  history.replaceState(null, "", store.get(id) ? `#${id}` : location.pathname + location.search);
  const title = chat.conversation.title || "New conversation";
  byId("title").textContent = title;
  document.title = chat.conversation.title ? `${title} · Rotor` : "Rotor";
}

/** Does what removes messages, and offers to take it back. */
function undoable(text, act) {
  const before = structuredClone(chat.conversation);
  act();
  focusMessage();
  toast(text, () => {
    store.save(before);
    chat.open(before);
  });
}

function changedElsewhere(id) {
  if (id === chat.conversation.id && !chat.running) chat.open(store.get(id));
  else showList();
}

function running(runs, message) {
  setIcon(byId("send"), runs ? "Stop" : "Send", runs ? "stop" : "send");
  byId("send").classList.toggle("stop", runs);
  document.body.classList.toggle("running", runs);
  if (runs) announce("The answer is being written.");
  else if (message) announce(message.error ?? (message.finish === "stopped" ? "Stopped." : "The answer is complete."));
}

async function loadModels() {
  try {
    const models = await listModels(settings.key);
    if (models.length === 0) throw new Error("The server has no model.");
    const names = models.map(({id}) => id);
    const chosen = names.includes(settings.values.model) ? settings.values.model : names[0];
    byId("model").replaceChildren(...names.map((name) => element("option", {}, name)));
    settings.showRetrieval(models[0].retrieval);
    byId("model").value = chosen;
    byId("notice").hidden = true;
    settings.set("model", chosen);
  } catch (error) {
    const wantsKey = error.status === 401 || error.status === 403;
    notice(error.message, wantsKey ? "Enter the key" : "Try again", wantsKey ? () => settings.open("api-key") : loadModels);
  }
}

byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  if (chat.running) return chat.stop();
  const text = byId("message").value.trim();
  if (text === "") return;
  byId("message").value = "";
  fitHeight(byId("message"));
  chat.send(text);
});
byId("message").addEventListener("input", () => fitHeight(byId("message")));
byId("message").addEventListener("keydown", (event) => {
  // On a screen keyboard there is no Shift+Enter: lines are what its Enter is for.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || kNoMouse.matches) return;
  event.preventDefault();
  if (!chat.running) byId("composer").requestSubmit();
});
byId("model").addEventListener("change", (event) => settings.set("model", event.target.value));
byId("new-conversation").addEventListener("click", () => open());
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || byId("settings").open) return;
  if (sidebar.isDrawer) {
    sidebar.show(false);
    byId("toggle-sidebar").focus();
  } else {
    chat.stop();
  }
});
addEventListener("pagehide", () => {
  if (chat.running) store.save(chat.conversation);
});

open(store.get(location.hash.slice(1)));
loadModels();
