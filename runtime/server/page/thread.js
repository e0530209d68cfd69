// The messages of the open conversation on the screen. It follows the end of a growing answer only as long as the user
// is there, and draws an answer some times a second, not once a token.
import {byId, copyButton, element, fitHeight, icon, iconButton} from "./dom.js";
import {MarkdownView} from "./markdown.js";

const kDrawEveryMs = 60;
const kNearEndPixels = 48;

const kLeastSeconds = 0.05;  // below, a speed says nothing

const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
const rounded = (number) => number.toLocaleString("en", {maximumSignificantDigits: 2});

/** "212 tokens · 41 tokens/s · first after 0.3 s": what is known of it. */
function statsText({stats = {}, finish}) {
  const parts = [];
  if (stats.tokens !== undefined) parts.push(counted(stats.tokens, "token"));
  const decoding = stats.seconds - stats.first;
  if (stats.tokens > 1 && decoding > kLeastSeconds) parts.push(`${rounded((stats.tokens - 1) / decoding)} tokens/s`);
  if (stats.first !== undefined) parts.push(`first after ${rounded(stats.first)} s`);
  if (stats.prompt !== undefined) parts.push(`prompt ${counted(stats.prompt, "token")}`);
  if (finish === "length") parts.push("ended by the limit of tokens");
  if (finish === "stopped") parts.push("stopped");
  return parts.join(" · ");
}

/** What an answer rests on: `{title, url, text}`, of which any may be missing. */
function sourceItem(source) {
  const name = String(source.title ?? source.url ?? "Source");
  const isLink = /^https?:\/\//i.test(source.url ?? "");
  const title = isLink ? element("a", {href: source.url, target: "_blank", rel: "noopener noreferrer"}, name) : name;
  return element("li", {}, title, source.text ? element("p", {}, String(source.text)) : "");
}

export class Thread {
  /** `actions`: {regenerate(), resend(message, text), delete(message)} */
  constructor(actions) {
    this.actions_ = actions;
    this.root_ = byId("messages");
    this.scroller_ = byId("thread");
    this.views_ = new Map();  // by message
    this.follows_ = true;
    this.top_ = 0;  // where it was last scrolled to from here
    this.scroller_.addEventListener("scroll", () => this.scrolled_());
    byId("to-end").addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.follow_()).observe(this.scroller_);
  }

  open(messages) {
    this.views_.clear();
    this.root_.replaceChildren();
    for (const message of messages) this.insert_(message, true);
    this.mark_();
    this.toEnd();
  }

  add(message) {
    this.insert_(message, false);
    this.mark_();
    this.toEnd();
  }

  insert_(message, finished) {
    const article = element("article", {class: `message ${message.role}`, "aria-label": message.role === "user" ? "You" : "Answer"});
    const view = {article, message, drawnAt: 0, timer: null, finished};
    this.views_.set(message, view);
    this.root_.append(article);
    if (message.role === "user") this.showQuestion_(view);
    else this.showAnswer_(view);
  }

  /** Draws what has come, now or soon. */
  change(message, finished) {
    const view = this.views_.get(message);
    if (!view) return;
    view.finished = finished;
    clearTimeout(view.timer);
    const wait = finished ? 0 : view.drawnAt + kDrawEveryMs - performance.now();
    const draw = () => {
      this.draw_(view);
      this.follow_();
    };
    if (wait <= 0) draw();
    else view.timer = setTimeout(draw, wait);
  }

  remove(messages) {
    for (const message of messages) {
      const view = this.views_.get(message);
      clearTimeout(view?.timer);
      view?.article.remove();
      this.views_.delete(message);
    }
    this.mark_();
  }

  toEnd() {
    this.top_ = 0;
    this.follows_ = true;
    this.follow_();
  }

  showQuestion_(view) {
    const {message, article} = view;
    const buttons = element("div", {class: "tools"},
      copyButton("Copy the message", () => message.content),
      iconButton("Edit the message", "edit", () => this.edit_(view)),
      this.againButton_("Answer this"),
      iconButton("Delete the message", "delete", () => this.actions_.delete(message)));
    article.replaceChildren(element("div", {class: "bubble"}, message.content), buttons);
  }

  edit_(view) {
    const area = element("textarea", {"aria-label": "Edit the message", oninput: () => fitHeight(area)});
    const cancel = () => {
      this.showQuestion_(view);
      view.article.querySelector(".tools button:nth-child(2)").focus();
    };
    const send = () => area.value.trim() && this.actions_.resend(view.message, area.value.trim());
    area.value = view.message.content;
    area.addEventListener("keydown", (event) => {
      if (event.key === "Escape") cancel();
      else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    view.article.replaceChildren(element("div", {class: "editor"}, area, element("div", {class: "row"},
      element("span", {class: "hint"}, "What follows is answered anew."),
      element("button", {type: "button", onclick: cancel}, "Cancel"),
      element("button", {type: "button", class: "main", onclick: send}, "Send"))));
    fitHeight(area);
    area.focus();
  }

  showAnswer_(view) {
    const {message, article} = view;
    view.text = element("div", {class: "text"});
    view.extra = element("div", {class: "extra"});
    view.stats = element("span", {class: "stats"});
    view.markdown = new MarkdownView(view.text);
    article.append(view.text, view.extra, element("div", {class: "tools"},
      copyButton("Copy the answer", () => message.content),
      this.againButton_("Answer anew"),
      iconButton("Delete the answer", "delete", () => this.actions_.delete(message)),
      view.stats));
    this.draw_(view);
  }

  draw_(view) {
    const {message, article, finished} = view;
    view.drawnAt = performance.now();
    article.setAttribute("aria-busy", String(!finished));
    article.classList.toggle("waiting", !finished && message.content === "");
    view.markdown.update(message.content, finished);
    view.stats.textContent = finished ? statsText(message) : "";
    if (finished) view.extra.replaceChildren(...this.extras_(message));
  }

  extras_(message) {
    const parts = [];
    if (message.sources?.length > 0) {
      parts.push(element("details", {class: "sources"}, element("summary", {}, `Sources (${message.sources.length})`),
        element("ol", {}, ...message.sources.map(sourceItem))));
    }
    if (message.error) {
      parts.push(element("div", {class: "error", role: "alert"}, element("span", {}, message.error),
        element("button", {type: "button", class: "only-last", onclick: () => this.actions_.regenerate()}, icon("again"),
          "Try again")));
    }
    return parts;
  }

  againButton_(label) {
    const button = iconButton(label, "again", () => this.actions_.regenerate());
    button.classList.add("only-last");
    return button;
  }

  /** What depends on being the last: only the last answer is made anew. */
  mark_() {
    const last = this.root_.lastElementChild;
    for (const {article} of this.views_.values()) article.classList.toggle("last", article === last);
    byId("welcome").hidden = this.views_.size > 0;
  }

  isNearEnd_() {
    const {scrollHeight, scrollTop, clientHeight} = this.scroller_;
    return scrollHeight - scrollTop - clientHeight < kNearEndPixels;
  }
  scrolled_() {
    this.follows_ = this.isNearEnd_();
    byId("to-end").hidden = this.follows_;
  }
  follow_() {
    // Scrolling upwards is told of only with the next frame, and must not be undone before.
    if (this.scroller_.scrollTop < this.top_ - 1 && !this.isNearEnd_()) this.follows_ = false;
    if (this.follows_) this.scroller_.scrollTop = this.scroller_.scrollHeight;
    this.top_ = this.follows_ ? this.scroller_.scrollTop : 0;
    byId("to-end").hidden = this.follows_;
  }
}
