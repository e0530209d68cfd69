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
function statsText({stats = {}, finish, retrieval}) {
  const parts = [];
  if (stats.tokens !== undefined) parts.push(counted(stats.tokens, "token"));
  const decoding = stats.seconds - stats.first;
  if (stats.tokens > 1 && decoding > kLeastSeconds) parts.push(`${rounded((stats.tokens - 1) / decoding)} tokens/s`);
  if (stats.first !== undefined) parts.push(`first after ${rounded(stats.first)} s`);
  if (stats.prompt !== undefined) parts.push(`prompt ${counted(stats.prompt, "token")}`);
  if (retrieval && !retrieval.used) parts.push(`no sources: ${retrieval.reason}`);
  if (finish === "length") parts.push("ended by the limit of tokens");
  if (finish === "stopped") parts.push("stopped");
  return parts.join(" · ");
}

/** "notes/tides.md, page 3, line 7": what is known of it. */
function placeOf({source, page, line}) {
  return [source, page && `page ${page}`, line && `line ${line}`].filter(Boolean).join(", ");
}

/** A source as the server gives it: {number, title, source, heading, line, page, score, text}. It opens to show what the
    model read. */
function sourceItem(source, id) {
  const isLink = /^https?:\/\//i.test(source.source ?? "");
  const title = [source.title, source.heading].filter((part, i, all) => part && !(i === 0 && all[1]?.startsWith(part))).join(", ");
  const place = placeOf(source);
  const summary = element("summary", {}, element("span", {class: "number"}, `[${source.number}]`), " ", title || place,
    title && place ? element("span", {class: "place"}, ` ${place}`) : "");
  return element("li", {}, element("details", {id}, summary, element("blockquote", {}, String(source.text ?? "")),
    isLink ? element("a", {href: source.source, target: "_blank", rel: "noopener noreferrer"}, "Open the document") : ""));
}

export class Thread {
  /** `actions`: {regenerate(), resend(message, text), delete(message)} */
  constructor(actions) {
    this.actions_ = actions;
    this.root_ = byId("messages");
    this.scroller_ = byId("thread");
    this.views_ = new Map();  // by message
    this.count_ = 0;  // of views so far
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
    const view = {article, message, drawnAt: 0, timer: null, finished, id: ++this.count_, sources: null};
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
    view.markdown = new MarkdownView(view.text, (number) => this.citation_(view, number));
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
    if (!view.sources && message.sources?.length > 0) this.showSources_(view);
    for (const number of message.cited ?? []) {
      view.sources?.querySelector(`#${this.sourceId_(view, Number(number))}`)?.classList.add("cited");
    }
    if (finished) view.extra.replaceChildren(...[view.sources, this.error_(message)].filter(Boolean));
  }

  /** They come before the answer, and stay the same elements, so that what was opened stays open. */
  showSources_(view) {
    view.sources = element("section", {class: "sources", "aria-label": "Sources"},
      element("ul", {}, ...view.message.sources.map((source) => sourceItem(source, this.sourceId_(view, source.number)))));
    view.extra.append(view.sources);
  }
  sourceId_(view, number) {
    return `source-${view.id}-${number}`;
  }

  /** A link to a source of this answer; null if it has none of that number. */
  citation_(view, number) {
    const source = view.message.sources?.find((one) => one.number === number);
    if (!source) return null;
    const id = this.sourceId_(view, number);
    const onclick = (event) => {
      event.preventDefault();  // the address names the conversation
      const details = byId(id);
      details.open = true;
      details.scrollIntoView({block: "nearest"});
      details.querySelector("summary").focus();
    };
    return element("a", {class: "citation", href: `#${id}`, title: source.title || placeOf(source), "aria-label": `Source ${number}`,
      onclick}, String(number));
  }

  error_(message) {
    if (!message.error) return null;
    return element("div", {class: "error", role: "alert"}, element("span", {}, message.error),
      element("button", {type: "button", class: "only-last", onclick: () => this.actions_.regenerate()}, icon("again"),
        "Try again"));
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
