// Small helpers around the DOM. None of them takes HTML: what is text stays text.

export const byId = (id) => document.getElementById(id);

/** Makes an element. `attributes`: "onclick" and its like are listeners; true sets a bare one; false and undefined none. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** One of the icons that index.html draws. */
export function icon(name) {
  const kSvg = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(kSvg, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(kSvg, "use"));
  svg.firstChild.setAttribute("href", `#icon-${name}`);
  return svg;
}

export function iconButton(label, iconName, onclick) {
  return element("button", {class: "plain small", type: "button", "aria-label": label, title: label, onclick}, icon(iconName));
}

export function setIcon(button, label, iconName) {
  button.setAttribute("aria-label", label);
  if (button.title) button.title = label;
  button.querySelector("use").setAttribute("href", `#icon-${iconName}`);
}

/** Puts text on the clipboard; also on plain http, where browsers offer no clipboard object. */
export async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", {class: "unseen", "aria-hidden": "true"});
  const focused = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  if (!copied) throw new Error("This browser does not let the page copy.");
}

export function copyButton(label, text) {
  const button = iconButton(label, "copy", async () => {
    try {
      await copyText(text());
      setIcon(button, "Copied", "check");
    } catch {
      setIcon(button, "Could not copy", "close");
    }
    setTimeout(() => setIcon(button, label, "copy"), 1500);
  });
  return button;
}

/** Hands the user a file. */
export function saveFile(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], {type}));
  element("a", {href: address, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** As high as its text, up to what the style sheet allows. */
export function fitHeight(area) {
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}
