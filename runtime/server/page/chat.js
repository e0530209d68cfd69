// The conversation that is open: what is asked of the server, and what becomes of the answer. It knows no DOM; whoever
// shows it gets told of every change.
import {streamChat} from "./api.js";
import {newConversation, usableSources} from "./store.js";

const kTitleLength = 60;
const kSaveEveryMs = 2000;

function titleOf(text) {
  const line = text.trim().split("\n")[0];
  return line.length > kTitleLength ? `${line.slice(0, kTitleLength - 1)}…` : line;
}

export class Chat {
  /** `settings()`: {model, system, sampling, retrieval, key} of the moment. `view`: opened(), added(message), changed(message),
      removed(messages), running(bool), listed(). */
  constructor(store, settings, view) {
    this.store_ = store;
    this.settings_ = settings;
    this.view_ = view;
    this.abort_ = null;
  }

  get running() {
    return this.abort_ !== null;
  }
  get messages() {
    return this.conversation.messages;
  }

  open(conversation) {
    this.stop();
    this.conversation = conversation ?? newConversation(this.settings_().system);
    this.view_.opened();
  }

  async send(text) {
    if (this.messages.length === 0 && !this.conversation.title) this.conversation.title = titleOf(text);
    this.add_({role: "user", content: text});
    await this.answer_();
  }

  /** Asks for the last answer anew, or for one that is missing. */
  async regenerate() {
    if (this.running) return;
    if (this.messages.at(-1)?.role === "assistant") this.remove_(this.messages.length - 1);
    await this.answer_();
  }

  /** Puts another text in a message's place and asks anew; what followed it goes. */
  async resend(message, text) {
    this.stop();
    this.remove_(this.messages.indexOf(message));
    await this.send(text);
  }

  delete(message) {
    if (this.running && message === this.messages.at(-1)) this.stop();
    const at = this.messages.indexOf(message);
    this.messages.splice(at, 1);
    this.view_.removed([message]);
    this.save_();
  }

  stop() {
    this.abort_?.abort();
    this.abort_ = null;
  }

  add_(message) {
    this.messages.push(message);
    this.view_.added(message);
    this.save_();
  }
  remove_(from) {
    this.view_.removed(this.messages.splice(from));
  }
  /** An answer may end when its conversation was deleted, or put back as it was before. */
  saveIfKept_(conversation) {
    if (conversation === this.conversation || conversation === this.store_.get(conversation.id)) this.save_(conversation);
  }
  save_(conversation = this.conversation) {
    conversation.updated = Date.now();
    this.store_.save(conversation);
    this.view_.listed();
  }

  body_() {
    const {model, sampling, retrieval} = this.settings_();
    const system = this.conversation.system;
    const messages = this.messages.filter((message) => message.content !== "").map(({role, content}) => ({role, content}));
    return {model, messages: system ? [{role: "system", content: system}, ...messages] : messages, ...sampling,
      ...(retrieval ? {retrieval} : {})};
  }

  async answer_() {
    const body = this.body_();
    const abort = new AbortController();
    const conversation = this.conversation;
    const message = {role: "assistant", content: "", model: body.model};
    this.abort_ = abort;
    this.add_(message);
    this.view_.running(true);
    const begun = performance.now();
    let firstAt = null;
    let saved = begun;
    try {
      for await (const chunk of streamChat(body, this.settings_().key, abort.signal)) {
        const choice = chunk.choices?.[0];
        if (choice?.delta?.content) {
          firstAt ??= performance.now();
          message.content += choice.delta.content;
        }
        if (choice?.finish_reason) message.finish = choice.finish_reason;
        if (Array.isArray(chunk.sources)) message.sources = usableSources(chunk.sources);
        if (chunk.retrieval) message.retrieval = chunk.retrieval;
        if (Array.isArray(chunk.cited)) message.cited = chunk.cited;
        if (chunk.usage) message.stats = {prompt: chunk.usage.prompt_tokens, tokens: chunk.usage.completion_tokens};
        this.view_.changed(message);
        if (performance.now() - saved > kSaveEveryMs) {
          saved = performance.now();
          this.saveIfKept_(conversation);
        }
      }
    } catch (error) {
      if (error.name === "AbortError") message.finish = "stopped";
      else message.error = error.message;
    }
    const ended = performance.now();
    message.stats = {...message.stats, first: ((firstAt ?? ended) - begun) / 1000, seconds: (ended - begun) / 1000};
    // Another answer may run meanwhile, in this conversation or another, and a message may be gone.
    if (this.abort_ === abort || this.abort_ === null) {
      this.abort_ = null;
      this.view_.running(false, message);
    }
    this.view_.changed(message);
    this.saveIfKept_(conversation);
  }
}
