// Markdown by md4c, with GitHub's tables; YAML's front matter, as far as it is flat, becomes metadata.
#include <md4c.h>

#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string unquoted(std::string_view text) {
  text = trimmed(text);
  const bool quoted =
      text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front();
  return std::string(quoted ? text.substr(1, text.size() - 2) : text);
}

Json front_matter_value(std::string_view text) {
  text = trimmed(text);
  if (text == "true" || text == "false") return text == "true";
  if (text.starts_with('[') && text.ends_with(']')) {
    Json values = Json::array();
    text = text.substr(1, text.size() - 2);
    while (!trimmed(text).empty()) {
      const size_t end = std::min(text.find(','), text.size());
      values.push_back(unquoted(text.substr(0, end)));
      text.remove_prefix(std::min(text.size(), end + 1));
    }
    return values;
  }
  return unquoted(text);
}

/// Takes it from the beginning of `text`; returns how many bytes it has, 0 if there is none.
size_t read_front_matter(std::string_view text, Document& document) {
  if (!text.starts_with("---\n") && !text.starts_with("---\r\n")) return 0;
  Json metadata = Json::object();
  std::string list;  // the field whose values follow as "- value"
  size_t at = text.find('\n') + 1;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = trimmed(text.substr(at, end - at));
    at = std::min(text.size(), end + 1);
    if (line == "---" || line == "...") {
      if (metadata.contains("title") && metadata["title"].is_string()) document.title = metadata["title"];
      metadata.erase("title");
      document.metadata = std::move(metadata);
      return at;
    }
    const size_t colon = line.find(':');
    if (line.starts_with("- ") && !list.empty()) {
      if (!metadata[list].is_array()) metadata[list] = Json::array();
      metadata[list].push_back(unquoted(line.substr(2)));
    } else if (colon != std::string_view::npos && colon > 0 && line.front() != '#') {
      const std::string field(trimmed(line.substr(0, colon)));
      const std::string_view value = trimmed(line.substr(colon + 1));
      list = value.empty() ? field : "";
      if (!value.empty()) metadata[field] = front_matter_value(value);
    }
  }
  return 0;  // it has no end: a line above a text
}

class MarkdownReader {
 public:
  MarkdownReader(std::string_view text, Document& document) : text_(text), document_(document) {}

  void read(size_t begin) {
    MD_PARSER parser = {};
    parser.flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_PERMISSIVEAUTOLINKS;
    parser.enter_block = [](MD_BLOCKTYPE type, void* detail, void* self) {
      return static_cast<MarkdownReader*>(self)->enter(type, detail);
    };
    parser.leave_block = [](MD_BLOCKTYPE type, void*, void* self) {
      return static_cast<MarkdownReader*>(self)->leave(type);
    };
    parser.enter_span = [](MD_SPANTYPE, void*, void*) { return 0; };
    parser.leave_span = [](MD_SPANTYPE, void*, void*) { return 0; };
    parser.text = [](MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* self) {
      return static_cast<MarkdownReader*>(self)->take(type, {text, size});
    };
    const std::string_view body = text_.substr(begin);
    if (md_parse(body.data(), static_cast<MD_SIZE>(body.size()), &parser, this) != 0)
      fail("Markdown: out of memory");
    finish();
  }

 private:
  int enter(MD_BLOCKTYPE type, void* detail) {
    switch (type) {
      case MD_BLOCK_H:
        begin(Block::Kind::heading, static_cast<int64_t>(static_cast<MD_BLOCK_H_DETAIL*>(detail)->level));
        break;
      case MD_BLOCK_P:
        if (depth_ == 0 || !open_)
          begin(depth_ > 0 ? Block::Kind::list_item : Block::Kind::paragraph, depth_);
        break;
      case MD_BLOCK_UL:
      case MD_BLOCK_OL:
        ++depth_;
        break;
      case MD_BLOCK_LI:
        begin(Block::Kind::list_item, depth_);
        break;
      case MD_BLOCK_CODE:
        begin(Block::Kind::code, 0);
        break;
      case MD_BLOCK_TABLE:
        begin(Block::Kind::table, 0);
        break;
      case MD_BLOCK_TD:
      case MD_BLOCK_TH:
        if (!block_.text.empty() && !block_.text.ends_with('\n')) block_.text += " | ";
        break;
      default:
        break;
    }
    return 0;
  }

  int leave(MD_BLOCKTYPE type) {
    switch (type) {
      case MD_BLOCK_UL:
      case MD_BLOCK_OL:
        finish();
        --depth_;
        break;
      case MD_BLOCK_TR:
        block_.text += "\n";
        break;
      case MD_BLOCK_H:
      case MD_BLOCK_P:
      case MD_BLOCK_LI:
      case MD_BLOCK_CODE:
      case MD_BLOCK_TABLE:
        finish();
        break;
      default:
        break;
    }
    return 0;
  }

  int take(MD_TEXTTYPE type, std::string_view text) {
    // Most texts are parts of the source, which says their line.
    const bool is_part = text.data() >= text_.data() && text.data() <= text_.data() + text_.size();
    if (block_.place.line == 0 && is_part) {
      const auto offset = static_cast<size_t>(text.data() - text_.data());
      lines_ += std::ranges::count(text_.substr(counted_, offset > counted_ ? offset - counted_ : 0), '\n');
      counted_ = std::max(counted_, offset);
      block_.place.line = lines_ + 1;
    }
    switch (type) {
      case MD_TEXT_BR:
      case MD_TEXT_SOFTBR:
        block_.text += '\n';
        break;
      case MD_TEXT_NULLCHAR:
        block_.text += "\uFFFD";
        break;
      case MD_TEXT_HTML:
        break;  // its text comes apart from it
      default:
        block_.text += text;
    }
    return 0;
  }

  void begin(Block::Kind kind, int64_t level) {
    finish();
    block_ = {kind, level, "", {}};
    open_ = true;
  }

  void finish() {
    while (block_.text.ends_with('\n')) block_.text.pop_back();
    if (!block_.text.empty()) {
      if (block_.kind == Block::Kind::heading && block_.level == 1 && document_.title.empty())
        document_.title = block_.text;
      document_.blocks.push_back(block_);
    }
    block_ = {Block::Kind::paragraph, 0, "", {}};
    open_ = false;
  }

  std::string_view text_;
  Document& document_;
  Block block_;
  bool open_ = false;
  int64_t depth_ = 0;
  size_t counted_ = 0;  // bytes whose lines are in lines_
  int64_t lines_ = 0;
};

}  // namespace

Document read_markdown(std::string_view text) {
  Document document;
  MarkdownReader(text, document).read(read_front_matter(text, document));
  return document;
}

}  // namespace rotor::runtime::rag
