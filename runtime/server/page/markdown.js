// What a model says, on the screen. It is hostile until proven otherwise, so no HTML is ever made of it: marked reads
// the markdown, and its tokens become elements one by one. Tags are shown as the text that they are, and images become
// links, since loading one would tell a stranger what was said.
import "./vendor/marked.js";
import {codeBox} from "./code.js";
import {element} from "./dom.js";

const {marked} = globalThis;
const kOptions = {...marked.getDefaults(), gfm: true, breaks: true, mangle: false};
const kDeepest = 40;  // levels of elements: more is an attack, on the layout

/** Those that models write; others stay as they are. */
const kEntities = {amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0", ndash: "–", mdash: "—", hellip: "…", times: "×",
  divide: "÷", deg: "°", copy: "©", reg: "®", euro: "€", middot: "·", bull: "•", rarr: "→", larr: "←", le: "≤", ge: "≥", ne: "≠"};

function withoutEntities(text) {
  return text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w+));/gi, (whole, decimal, hexadecimal, name) => {
    if (name) return kEntities[name] ?? whole;
    const point = decimal ? Number(decimal) : parseInt(hexadecimal, 16);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : whole;
  });
}

/** "[1, 3]" and its like, and the numbers in it. */
const kCitation = /(\[ *\d{1,4}(?: *[,;] *\d{1,4})* *\])/;

/** Makes a link of the number of a source; null if there is no such source. Of the view that is being drawn. */
let cite = () => null;

function withCitations(text) {
  return text.split(kCitation).flatMap((part, i) => {
    if (i % 2 === 0) return part;
    return part.split(/(\d+)/).map((piece, k) => (k % 2 === 1 ? cite(Number(piece)) : null) ?? piece);
  });
}

const one = (name, tokens, depth, attributes = {}) => element(name, attributes, ...nodes(tokens, depth + 1));

/** A link that leads to the web or to a letter; another is only text. */
function link(address, content) {
  const target = withoutEntities(address);
  if (!/^(?:https?:\/\/|mailto:)/i.test(target)) return element("span", {}, ...content);
  return element("a", {href: target, target: "_blank", rel: "noopener noreferrer nofollow", title: target}, ...content);
}

function list(token, depth) {
  const items = token.items.map((item) => {
    const mark = item.task ? [item.checked ? "☑ " : "☐ "] : [];
    return element("li", {}, ...mark, ...nodes(item.tokens, depth + 1, item.loose));
  });
  return token.ordered ? element("ol", {start: token.start === 1 ? undefined : token.start}, ...items) : element("ul", {}, ...items);
}

/** In a frame of its own to scroll in. */
function table(token, depth) {
  const row = (name, cells) => element("tr", {}, ...cells.map((cell, i) =>
    one(name, cell.tokens, depth, {class: token.align[i] ? `align-${token.align[i]}` : undefined})));
  return element("div", {class: "table", tabindex: "0", role: "region", "aria-label": "Table"},
    element("table", {}, element("thead", {}, row("th", token.header)),
      element("tbody", {}, ...token.rows.map((cells) => row("td", cells)))));
}

/** Makers of nodes by the type of a token, https://marked.js.org/using_pro#lexer */
const kMakers = {
  space: () => [],
  def: () => [],
  hr: () => element("hr"),
  br: () => element("br"),
  heading: (token, depth) => one(`h${token.depth}`, token.tokens, depth),
  paragraph: (token, depth) => one("p", token.tokens, depth),
  blockquote: (token, depth) => one("blockquote", token.tokens, depth),
  code: (token, depth, loose, complete) => codeBox(token.text, /^[\w+#.-]*/.exec(token.lang ?? "")[0], complete),
  list,
  table,
  strong: (token, depth) => one("strong", token.tokens, depth),
  em: (token, depth) => one("em", token.tokens, depth),
  del: (token, depth) => one("del", token.tokens, depth),
  codespan: (token) => element("code", {}, withoutEntities(token.text)),
  link: (token, depth) => link(token.href, nodes(token.tokens, depth + 1)),
  image: (token) => link(token.href, [token.text || "image"]),
  escape: (token) => token.raw.slice(1),
  html: (token) => (/^<br\s*\/?>\s*$/i.test(token.raw) ? element("br") : token.raw),
  text(token, depth, loose) {
    if (!token.tokens) return withCitations(withoutEntities(token.raw));
    return loose ? one("p", token.tokens, depth) : nodes(token.tokens, depth + 1);
  },
};

/** `loose`: the text of a list's items makes paragraphs. `complete`: no more of these tokens comes. */
function nodes(tokens, depth, loose = false, complete = true) {
  return tokens.flatMap((token) => {
    const maker = depth < kDeepest ? kMakers[token.type] : null;
    return maker ? maker(token, depth, loose, complete) : token.raw;
  });
}

/** Shows a text that grows: blocks that are finished are left as they are, so that nothing flickers, jumps or loses a
    selection. */
export class MarkdownView {
  /** `citation(number)`: a node in the place of a number in brackets, or null. */
  constructor(root, citation) {
    this.root_ = root;
    this.citation_ = citation;
    this.blocks_ = [];  // {raw, complete, node}
  }

  /** `finished`: nothing more comes. */
  update(text, finished) {
    cite = this.citation_;
    try {
      this.show_(marked.lexer(text, kOptions), finished);
    } catch (error) {
      // Nested so deeply that the parser runs out of stack: as it is, then.
      if (!(error instanceof RangeError)) console.error(error);
      this.cut_(0);
      this.root_.replaceChildren(element("pre", {class: "raw"}, text));
    }
  }

  show_(tokens, finished) {
    // The address of a link may come at the end.
    const hasLateLinks = finished && Object.keys(tokens.links).length > 0;
    const complete = (i) => finished || i + 1 < tokens.length;
    const isShown = (block, i) => block.raw === tokens[i]?.raw && block.complete === complete(i);
    let same = 0;
    while (!hasLateLinks && same < this.blocks_.length && isShown(this.blocks_[same], same)) ++same;
    this.cut_(same);
    for (let i = same; i < tokens.length; ++i) {
      const node = element("div", {class: "block"}, ...nodes([tokens[i]], 0, true, complete(i)));
      this.root_.append(node);
      this.blocks_.push({raw: tokens[i].raw, complete: complete(i), node});
    }
  }

  cut_(size) {
    if (this.blocks_.length === 0) this.root_.replaceChildren();
    for (const block of this.blocks_.splice(size)) block.node.remove();
  }
}
