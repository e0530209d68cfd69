// HTML by gumbo, which reads what browsers read. Left out is what is no text of the page: scripts, styles,
// navigation, controls, what is hidden.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "runtime/rag/readers/html_tree.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

constexpr int kDeepest = 400;  // of nested elements; what is deeper is read without its structure

constexpr std::array kLeftOut = {GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE,  GUMBO_TAG_NOSCRIPT, GUMBO_TAG_TEMPLATE,
                                 GUMBO_TAG_NAV,    GUMBO_TAG_BUTTON, GUMBO_TAG_SELECT,   GUMBO_TAG_IFRAME,
                                 GUMBO_TAG_OBJECT, GUMBO_TAG_SVG,    GUMBO_TAG_HEAD,     GUMBO_TAG_TEXTAREA};

constexpr std::array kBlocks = {
    GUMBO_TAG_P,          GUMBO_TAG_DIV,     GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE, GUMBO_TAG_HEADER,
    GUMBO_TAG_FOOTER,     GUMBO_TAG_ASIDE,   GUMBO_TAG_MAIN,    GUMBO_TAG_UL,      GUMBO_TAG_OL,
    GUMBO_TAG_DL,         GUMBO_TAG_TR,      GUMBO_TAG_TD,      GUMBO_TAG_TH,      GUMBO_TAG_BLOCKQUOTE,
    GUMBO_TAG_FIGCAPTION, GUMBO_TAG_ADDRESS, GUMBO_TAG_HR,      GUMBO_TAG_CAPTION, GUMBO_TAG_BODY,
    GUMBO_TAG_FIGURE,     GUMBO_TAG_FORM,    GUMBO_TAG_DETAILS, GUMBO_TAG_SUMMARY};

constexpr std::array kLists = {GUMBO_TAG_UL, GUMBO_TAG_OL, GUMBO_TAG_DL};
constexpr std::array kItems = {GUMBO_TAG_LI, GUMBO_TAG_DT, GUMBO_TAG_DD};

bool is_one_of(GumboTag tag, const auto& tags) {
  return std::ranges::find(tags, tag) != tags.end();
}

bool is_heading(GumboTag tag) {
  return tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6;
}

bool is_left_out(const GumboNode& node) {
  return node.type == GUMBO_NODE_TEMPLATE ||
         (node.type == GUMBO_NODE_ELEMENT &&
          (is_one_of(node.v.element.tag, kLeftOut) ||
           gumbo_get_attribute(&node.v.element.attributes, "hidden") != nullptr));
}

/// Pages were laid out with tables: such have headings or tables in them, and are no tables.
bool is_layout(const GumboNode& table) {
  std::vector<const GumboNode*> rest = {&table};
  while (!rest.empty()) {
    const GumboNode* const node = rest.back();
    rest.pop_back();
    for (const GumboNode* child : children(*node)) {
      const bool is_element = child->type == GUMBO_NODE_ELEMENT;
      const bool is_sign =
          is_element && (child->v.element.tag == GUMBO_TAG_TABLE || is_heading(child->v.element.tag));
      if (is_sign) return true;
      rest.push_back(child);
    }
  }
  return false;
}

class HtmlReader {
 public:
  explicit HtmlReader(Document& document) : document_(document) {}

  void read(const GumboNode& node, int depth = 0) {
    if (is_left_out(node)) return;
    if (node.type == GUMBO_NODE_ELEMENT) {
      depth < kDeepest ? read_element(node, depth) : read_deep(node);
    } else {
      read_text(node);
    }
  }

  void finish() {
    std::string& text = block_.text;
    while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
    if (block_.kind != Block::Kind::code) text.erase(0, text.find_first_not_of(" \n"));
    if (text.find_first_not_of(" \n\t") != std::string::npos) {
      if (document_.title.empty() && block_.kind == Block::Kind::heading && block_.level == 1)
        document_.title = text;
      document_.blocks.push_back(block_);
    }
    block_ = {};
    if (items_ > 0) block_ = {Block::Kind::list_item, std::max<int64_t>(lists_, 1), "", {}};
  }

 private:
  /// What stands in a heading, a table or preformatted text is a part of it, not a block.
  bool is_within_block() const {
    return block_.kind == Block::Kind::heading || block_.kind == Block::Kind::table ||
           block_.kind == Block::Kind::code;
  }

  std::optional<Block::Kind> kind_of(const GumboNode& node) const {
    const GumboTag tag = node.v.element.tag;
    if (is_within_block()) return std::nullopt;
    if (is_heading(tag)) return Block::Kind::heading;
    if (tag == GUMBO_TAG_PRE) return Block::Kind::code;
    if (tag == GUMBO_TAG_TABLE && !is_layout(node)) return Block::Kind::table;
    if (is_one_of(tag, kItems)) return Block::Kind::list_item;
    if (is_one_of(tag, kBlocks) || tag == GUMBO_TAG_TABLE)
      return items_ > 0 ? Block::Kind::list_item : Block::Kind::paragraph;
    return std::nullopt;
  }

  void read_element(const GumboNode& node, int depth) {
    const GumboTag tag = node.v.element.tag;
    if (tag == GUMBO_TAG_BR) {
      block_.kind == Block::Kind::table ? take(" ", 0) : void(block_.text += '\n');
      return;
    }
    const std::optional<Block::Kind> kind = kind_of(node);
    const bool is_list = is_one_of(tag, kLists);
    const bool is_item = is_one_of(tag, kItems);
    if (kind) finish();
    lists_ += is_list ? 1 : 0;
    items_ += is_item ? 1 : 0;
    if (kind) {
      const int64_t level = *kind == Block::Kind::heading     ? tag - GUMBO_TAG_H1 + 1
                            : *kind == Block::Kind::list_item ? std::max<int64_t>(lists_, 1)
                                                              : 0;
      block_ = {*kind, level, "", {}};
    } else {
      separate(tag);
    }
    for (const GumboNode* child : children(node)) read(*child, depth + 1);
    lists_ -= is_list ? 1 : 0;
    items_ -= is_item ? 1 : 0;
    if (kind) {
      finish();
    } else if (is_one_of(tag, kBlocks) || is_one_of(tag, kItems)) {
      separate(GUMBO_TAG_P);
    }
  }

  /// Within a block: rows of a table are lines, cells have a bar between them, other blocks a blank.
  void separate(GumboTag tag) {
    const bool in_table = block_.kind == Block::Kind::table;
    if (in_table && tag == GUMBO_TAG_TR) {
      while (block_.text.ends_with(' ')) block_.text.pop_back();
      if (!block_.text.empty()) block_.text += '\n';
      is_first_cell_ = true;
    } else if (in_table && (tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH)) {
      while (block_.text.ends_with(' ')) block_.text.pop_back();
      if (!is_first_cell_) block_.text += block_.text.ends_with('\n') ? "| " : " | ";
      is_first_cell_ = false;
    } else if (is_one_of(tag, kBlocks) || is_one_of(tag, kItems)) {
      const bool is_code = block_.kind == Block::Kind::code;
      if (!is_code || (!block_.text.empty() && !block_.text.ends_with('\n'))) take(is_code ? "\n" : " ", 0);
    }
  }

  /// No recursion: elements may be nested as deep as a file is long.
  void read_deep(const GumboNode& node) {
    std::vector<const GumboNode*> rest = {&node};
    while (!rest.empty()) {
      const GumboNode* const next = rest.back();
      rest.pop_back();
      if (is_left_out(*next)) continue;
      read_text(*next);
      const auto nodes = children(*next);
      if (!nodes.empty()) take(" ", 0);
      rest.insert(rest.end(), nodes.rbegin(), nodes.rend());
    }
  }

  void read_text(const GumboNode& node) {
    if (node.type == GUMBO_NODE_TEXT || node.type == GUMBO_NODE_CDATA || node.type == GUMBO_NODE_WHITESPACE)
      take(text_of(node), node.v.text.start_pos.line);
  }

  /// Blanks in a row are one, but in preformatted text. `line`: of the beginning, 0 if it has none.
  void take(std::string_view text, unsigned line) {
    std::string& to = block_.text;
    const size_t first = text.find_first_not_of(" \t\r\n\f");
    if (line > 0 && block_.place.line == 0 && first != std::string_view::npos)
      block_.place.line = line + std::ranges::count(text.substr(0, first), '\n');
    for (size_t i = 0; i < text.size(); ++i) {
      const std::string_view rest = text.substr(i);
      const bool is_hyphen = rest.starts_with("\u00AD");  // where a word may be broken
      const bool is_wide = rest.starts_with("\u00A0");    // &nbsp;
      i += is_hyphen || is_wide ? 1 : 0;
      if (is_hyphen) continue;
      const bool is_blank = is_wide || std::strchr(" \t\r\n\f", text[i]) != nullptr;
      if (block_.kind == Block::Kind::code || !is_blank) {
        to += is_wide ? ' ' : text[i];
      } else if (!to.empty() && !to.ends_with(' ') && !to.ends_with('\n')) {
        to += ' ';
      }
    }
  }

  Document& document_;
  Block block_;
  int64_t lists_ = 0;  // around what is read
  int64_t items_ = 0;
  bool is_first_cell_ = true;  // of its row
};

/// The text of <title>, which Gumbo puts into the head.
std::string title_of(const GumboNode& node, int depth = 0) {
  if (node.type != GUMBO_NODE_ELEMENT || depth > 3) return "";
  const GumboTag tag = node.v.element.tag;
  std::string text;
  for (const GumboNode* child : children(node)) {
    if (tag == GUMBO_TAG_TITLE && child->type == GUMBO_NODE_TEXT) text += text_of(*child);
    if (tag == GUMBO_TAG_HTML || tag == GUMBO_TAG_HEAD) text += title_of(*child, depth + 1);
  }
  return text;
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const bool blank = std::strchr(" \t\r\n\f", c) != nullptr;
    if (!blank) {
      line += c;
    } else if (!line.empty() && !line.ends_with(' ')) {
      line += ' ';
    }
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

Document read_html(std::string_view text) {
  const HtmlTree tree(text);
  Document document;
  document.title = one_line(title_of(tree.root()));
  HtmlReader reader(document);
  reader.read(tree.root());
  reader.finish();
  return document;
}

}  // namespace rotor::runtime::rag
