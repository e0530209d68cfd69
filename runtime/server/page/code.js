// Code in an answer: a box with the language, a copy button, and colours.
import {copyButton, element} from "./dom.js";

const kMostColoured = 50000;  // characters: beyond, colours take longer than anyone waits

/** 850 kB of grammars: fetched once there is code to colour. */
let highlighter = null;
function loadHighlighter() {
  highlighter ??= import("./vendor/highlight.js").then(() => globalThis.hljs);
  return highlighter;
}

const kEscapes = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#x27;": "'", "&#39;": "'"};

/** highlight.js makes text, escapes and spans, as a string; here they become nodes, and nothing else would. */
function spans(html) {
  const root = document.createDocumentFragment();
  let open = root;
  for (const part of html.split(/(<span class="[^"]*">|<\/span>)/)) {
    const name = /^<span class="([^"]*)">$/.exec(part)?.[1];
    if (name !== undefined) {
      const span = element("span", {class: name});
      open.append(span);
      open = span;
    } else if (part === "</span>") {
      open = open.parentNode ?? root;
    } else {
      open.append(part.replace(/&(?:amp|lt|gt|quot|#x27|#39);/g, (escape) => kEscapes[escape]));
    }
  }
  return root;
}

async function colour(code, language) {
  const text = code.textContent;
  if (!language || text.length > kMostColoured) return;
  const hljs = await loadHighlighter().catch(() => null);
  if (!hljs?.getLanguage(language)) return;
  const coloured = spans(hljs.highlight(language, text, true).value);
  if (coloured.textContent === text) code.replaceChildren(coloured);
}

/** `complete`: no more of it comes. */
export function codeBox(text, language, complete) {
  const code = element("code", {}, text);
  const box = element("div", {class: "code"},
    element("div", {class: "code-heading"}, element("span", {}, language || "text"), copyButton("Copy the code", () => text)),
    element("pre", {tabindex: "0", role: "region", "aria-label": `Code ${language}`.trim()}, code));
  if (complete) colour(code, language);
  return box;
}
