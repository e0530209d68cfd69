// HTML by gumbo, which reads what browsers read. Left out is what is no text of the page: scripts, styles,
// navigation, forms.
#include <gumbo.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {
namespace {

constexpr int kDeepest = 400;  // of nested elements; what is deeper is read without its structure

constexpr std::array kLeftOut = {GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE,  GUMBO_TAG_NOSCRIPT, GUMBO_TAG_TEMPLATE,
                                 GUMBO_TAG_NAV,    GUMBO_TAG_FORM,   GUMBO_TAG_BUTTON,   GUMBO_TAG_SELECT,
                                 GUMBO_TAG_IFRAME, GUMBO_TAG_OBJECT, GUMBO_TAG_SVG,      GUMBO_TAG_HEAD};

constexpr std::array kBlocks = {
    GUMBO_TAG_P,          GUMBO_TAG_DIV,     GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE,    GUMBO_TAG_HEADER,
    GUMBO_TAG_FOOTER,     GUMBO_TAG_ASIDE,   GUMBO_TAG_MAIN,    GUMBO_TAG_UL,         GUMBO_TAG_OL,
    GUMBO_TAG_DL,         GUMBO_TAG_DT,      GUMBO_TAG_DD,      GUMBO_TAG_BLOCKQUOTE, GUMBO_TAG_FIGURE,
    GUMBO_TAG_FIGCAPTION, GUMBO_TAG_ADDRESS, GUMBO_TAG_HR,      GUMBO_TAG_CAPTION,    GUMBO_TAG_BODY};

bool is_one_of(GumboTag tag, const auto& tags) {
  return std::ranges::find(tags, tag) != tags.end();
}

std::span<GumboNode* const> children(const GumboVector& nodes) {
  return {reinterpret_cast<GumboNode* const*>(nodes.data), nodes.length};
}

class HtmlReader {
 public:
  explicit HtmlReader(Document& document) : document_(document) {}

  void read(const GumboNode& node, int depth = 0) {
    switch (node.type) {
      case GUMBO_NODE_TEXT:
      case GUMBO_NODE_CDATA:
        return take(node.v.text.text, static_cast<int64_t>(node.v.text.start_pos.line));
      case GUMBO_NODE_WHITESPACE:
        return take(node.v.text.text, 0);
      case GUMBO_NODE_ELEMENT:
      case GUMBO_NODE_TEMPLATE:
        return read_element(node.v.element, depth);
      default:
        return;
    }
  }

  void finish() {
    std::string& text = block_.text;
    while (text.ends_with('\n') || text.ends_with(' ')) text.pop_back();
    if (text.find_first_not_of(" \n") != std::string::npos) {
      if (document_.title.empty() && block_.kind == Block::Kind::heading && block_.level == 1)
        document_.title = text;
      document_.blocks.push_back(block_);
    }
    block_ = {};
  }

 private:
  void read_element(const GumboElement& element, int depth) {
    if (is_one_of(element.tag, kLeftOut) || depth > kDeepest) return;
    if (element.tag == GUMBO_TAG_BR) {
      block_.text += '\n';
      return;
    }
    const std::optional<Block::Kind> kind = kind_of(element.tag);
    if (kind) {
      finish();
      block_.kind = *kind;
      block_.level = *kind == Block::Kind::heading     ? element.tag - GUMBO_TAG_H1 + 1
                     : *kind == Block::Kind::list_item ? lists_
                                                       : 0;
    }
    const bool is_list = element.tag == GUMBO_TAG_UL || element.tag == GUMBO_TAG_OL;
    const bool is_cell = element.tag == GUMBO_TAG_TD || element.tag == GUMBO_TAG_TH;
    if (is_cell && !block_.text.empty() && !block_.text.ends_with('\n')) block_.text += " | ";
    lists_ += is_list ? 1 : 0;
    preformatted_ += element.tag == GUMBO_TAG_PRE ? 1 : 0;
    for (const GumboNode* child : children(element.children)) read(*child, depth + 1);
    preformatted_ -= element.tag == GUMBO_TAG_PRE ? 1 : 0;
    lists_ -= is_list ? 1 : 0;
    if (element.tag == GUMBO_TAG_TR) block_.text += '\n';
    if (kind) finish();
  }

  std::optional<Block::Kind> kind_of(GumboTag tag) const {
    if (tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6) return Block::Kind::heading;
    if (tag == GUMBO_TAG_LI) return Block::Kind::list_item;
    if (tag == GUMBO_TAG_PRE) return Block::Kind::code;
    if (tag == GUMBO_TAG_TABLE) return Block::Kind::table;
    // A paragraph within a cell is a part of the row.
    if (is_one_of(tag, kBlocks) && block_.kind != Block::Kind::table) return Block::Kind::paragraph;
    return std::nullopt;
  }

  /// Blanks in a row are one, but in preformatted text.
  void take(const char* text, int64_t line) {
    std::string& to = block_.text;
    if (line > 0 && block_.place.line == 0) block_.place.line = line;
    for (const char* c = text; *c != '\0'; ++c) {
      const bool blank = std::strchr(" \t\r\n\f", *c) != nullptr;
      if (preformatted_ > 0) {
        to += *c;
      } else if (!blank) {
        to += *c;
      } else if (!to.empty() && !to.ends_with(' ') && !to.ends_with('\n')) {
        to += ' ';
      }
    }
  }

  Document& document_;
  Block block_;
  int64_t lists_ = 0;
  int64_t preformatted_ = 0;
};

/// The text of <title>, wherever it is.
std::string title_of(const GumboNode& node, int depth = 0) {
  if (node.type != GUMBO_NODE_ELEMENT || depth > 8) return "";
  const GumboElement& element = node.v.element;
  std::string text;
  for (const GumboNode* child : children(element.children)) {
    if (element.tag == GUMBO_TAG_TITLE && child->type == GUMBO_NODE_TEXT) text += child->v.text.text;
    if (element.tag == GUMBO_TAG_HTML || element.tag == GUMBO_TAG_HEAD) text += title_of(*child, depth + 1);
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
  const auto destroy = [](GumboOutput* output) { gumbo_destroy_output(&kGumboDefaultOptions, output); };
  const std::unique_ptr<GumboOutput, decltype(destroy)> output(
      gumbo_parse_with_options(&kGumboDefaultOptions, text.data(), text.size()), destroy);
  if (output == nullptr) fail("HTML: out of memory");
  Document document;
  document.title = one_line(title_of(*output->root));
  HtmlReader reader(document);
  reader.read(*output->root);
  reader.finish();
  return document;
}

}  // namespace rotor::runtime::rag
