// The list of kept conversations: open, rename, export, delete. On a narrow screen it is a drawer over the page.
import {byId, element, iconButton} from "./dom.js";

const kNarrow = matchMedia("(max-width: 760px)");

export class Sidebar {
  /** `actions`: {open(id), rename(id, title), exportOne(id), remove(id)} */
  constructor(actions) {
    this.actions_ = actions;
    this.list_ = byId("conversations");
    byId("toggle-sidebar").addEventListener("click", () => this.show(!this.shown));
    byId("backdrop").addEventListener("click", () => this.show(false));
    kNarrow.addEventListener("change", () => this.show(!kNarrow.matches));
    this.show(!kNarrow.matches);
  }

  get shown() {
    return document.body.classList.contains("sidebar");
  }
  get isDrawer() {
    return kNarrow.matches && this.shown;
  }

  show(shown) {
    document.body.classList.toggle("sidebar", shown);
    byId("toggle-sidebar").setAttribute("aria-expanded", String(shown));
    byId("backdrop").hidden = !this.isDrawer;
    byId("main").inert = this.isDrawer;
    byId("sidebar").inert = !shown;
    if (this.isDrawer) byId("new-conversation").focus();
  }
  /** On a narrow screen, once something was chosen. */
  leave() {
    if (this.isDrawer) this.show(false);
  }

  /** `current`: id of the open conversation. */
  update(conversations, current) {
    // A name that is being typed stays.
    if (this.list_.querySelector("input")) return;
    const focused = document.activeElement?.closest("#conversations button");
    const place = focused && [focused.closest("li").dataset.id, focused.getAttribute("aria-label")];
    this.list_.replaceChildren(...conversations.map((conversation) => this.row_(conversation, conversation.id === current)));
    if (place) {
      const row = [...this.list_.children].find((item) => item.dataset.id === place[0]);
      [...row?.querySelectorAll("button") ?? []].find((b) => b.getAttribute("aria-label") === place[1])?.focus();
    }
  }

  row_({id, title}, isCurrent) {
    const name = title || "Without a name";
    const row = element("li", {"data-id": id, class: isCurrent && "current"},
      element("button", {class: "name", type: "button", title: name, "aria-current": isCurrent && "true",
        onclick: () => this.actions_.open(id)}, name),
      iconButton(`Rename: ${name}`, "edit", () => this.rename_(row, id, title)),
      iconButton(`Export: ${name}`, "save", () => this.actions_.exportOne(id)),
      iconButton(`Delete: ${name}`, "delete", () => this.actions_.remove(id)));
    return row;
  }

  rename_(row, id, title) {
    const input = element("input", {"aria-label": "Name of the conversation", maxlength: "200"});
    let done = false;
    const finish = (name) => {
      if (done) return;
      done = true;
      input.remove();
      this.actions_.rename(id, name);
    };
    const focusRow = () => this.list_.querySelector(`[data-id="${id}"] .name`)?.focus();
    input.value = title;
    input.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key !== "Enter" && event.key !== "Escape") return;
      finish(event.key === "Enter" ? input.value.trim() || title : title);
      focusRow();
    });
    input.addEventListener("blur", () => finish(input.value.trim() || title));
    row.replaceChildren(input);
    input.select();
    input.focus();
  }
}
