// Markdown by md4c, with GitHub's tables and task lists; front matter becomes metadata.
#include <md4c.h>

#include <algorithm>
#include <exception>
#include <functional>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/readers/front_matter.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongest = size_t{1} << 30;  // md4c counts in 32 bits
constexpr size_t kCellsPerByte = 8;  // rows are filled up with empty cells to the length of the first

class MarkdownReader {
 public:
  MarkdownReader(std::string_view text, Document& document) : text_(text), document_(document) {}

  void read(size_t begin) {
    MD_PARSER parser = {};
    parser.flags = MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH | MD_FLAG_TASKLISTS | MD_FLAG_PERMISSIVEAUTOLINKS;
    parser.enter_block = [](MD_BLOCKTYPE type, void* detail, void* self) {
      return guarded(self, [&](MarkdownReader& reader) { return reader.enter(type, detail); });
    };
    parser.leave_block = [](MD_BLOCKTYPE type, void*, void* self) {
      return guarded(self, [&](MarkdownReader& reader) { return reader.leave(type); });
    };
    parser.enter_span = [](MD_SPANTYPE, void*, void*) { return 0; };
    parser.leave_span = [](MD_SPANTYPE, void*, void*) { return 0; };
    parser.text = [](MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* self) {
      return guarded(self, [&](MarkdownReader& reader) { return reader.take(type, {text, size}); });
    };
    const std::string_view body = text_.substr(begin);
    if (body.size() > kLongest)
      fail("expected at most ", kLongest, " bytes of Markdown, found ", body.size(), ": split the file");
    const int result = md_parse(body.data(), static_cast<MD_SIZE>(body.size()), &parser, this);
    if (thrown_) std::rethrow_exception(thrown_);
    if (too_many_cells_) {
      fail("expected tables with at most ", kCellsPerByte,
           " cells for each byte of Markdown, found one of more: almost all of them are empty");
    }
    if (result != 0) fail("Markdown: md4c is out of memory");
    finish();
  }

 private:
  /// An exception cannot pass through md4c.
  template <class Body>
  static int guarded(void* self, Body body) {
    auto& reader = *static_cast<MarkdownReader*>(self);
    try {
      return body(reader);
    } catch (...) {
      reader.thrown_ = std::current_exception();
      return 1;
    }
  }

  int enter(MD_BLOCKTYPE type, void* detail) {
    switch (type) {
      case MD_BLOCK_H:
        begin(Block::Kind::heading, static_cast<int64_t>(static_cast<MD_BLOCK_H_DETAIL*>(detail)->level));
        break;
      case MD_BLOCK_P:
        if (depth_ == 0 || !open_ || !block_.text.empty())
          begin(depth_ > 0 ? Block::Kind::list_item : Block::Kind::paragraph, depth_);
        break;
      case MD_BLOCK_UL:
      case MD_BLOCK_OL:
        ++depth_;
        break;
      case MD_BLOCK_LI:
        begin(Block::Kind::list_item, depth_);
        if (const auto* item = static_cast<MD_BLOCK_LI_DETAIL*>(detail); item->is_task != 0)
          mark_ = item->task_mark == ' ' ? "[ ] " : "[x] ";
        break;
      case MD_BLOCK_HTML:
        begin(Block::Kind::paragraph, 0);
        is_html_ = true;
        break;
      case MD_BLOCK_TR:
        cells_ = 0;
        break;
      case MD_BLOCK_CODE:
        begin(Block::Kind::code, 0);
        break;
      case MD_BLOCK_TABLE:
        begin(Block::Kind::table, 0);
        break;
      case MD_BLOCK_TD:
      case MD_BLOCK_TH:
        ++cells_;
        too_many_cells_ = ++all_cells_ > 1000 + kCellsPerByte * text_.size();
        return too_many_cells_ ? 1 : 0;
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
        block_.text += '\n';
        break;
      case MD_BLOCK_HTML:
        finish_html();
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
    if (!open_ && depth_ > 0 && !trimmed(text).empty()) begin(Block::Kind::list_item, depth_);
    block_.text += std::exchange(mark_, "");
    if (block_.place.line == 0) block_.place.line = line_of(text);
    // Cells without a text cost nothing.
    if (block_.kind == Block::Kind::table && cells_ > 1)
      for (; cells_ > 1; --cells_) block_.text += block_.text.ends_with('\n') ? "| " : " | ";
    switch (type) {
      case MD_TEXT_BR:
      case MD_TEXT_SOFTBR:
        block_.text += '\n';
        break;
      case MD_TEXT_NULLCHAR:
        block_.text += "\uFFFD";
        break;
      case MD_TEXT_ENTITY:
        block_.text += entity_text(text);
        break;
      case MD_TEXT_HTML:
        if (is_html_) block_.text += text;
        if (!is_html_ && lower_case(text).starts_with("<br")) block_.text += '\n';
        break;  // of other tags in a line the text comes apart from them
      default:
        block_.text += text;
    }
    return 0;
  }

  /// Most texts are parts of the source; 0 for others, which md4c has itself.
  int64_t line_of(std::string_view text) {
    const char* const end = text_.data() + text_.size();
    if (std::less<>()(text.data(), text_.data()) || !std::less<>()(text.data(), end)) return 0;
    const auto offset = static_cast<size_t>(text.data() - text_.data());
    lines_ += std::ranges::count(text_.substr(counted_, offset > counted_ ? offset - counted_ : 0), '\n');
    counted_ = std::max(counted_, offset);
    return lines_ + 1;
  }

  /// A part of a page among the Markdown: its text is read as that of a page.
  void finish_html() {
    const Block html = std::move(block_);
    is_html_ = open_ = false;
    block_ = {};
    for (Block& block : read_html(html.text).blocks) {
      if (block.place.line > 0) block.place.line += html.place.line - 1;
      document_.blocks.push_back(std::move(block));
    }
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
  std::string mark_;  // of a task, before its text
  int64_t depth_ = 0;
  size_t counted_ = 0;  // bytes whose lines are in lines_
  int64_t lines_ = 0;
  bool is_html_ = false;
  int64_t cells_ = 0;  // of the row, since the last that has a text
  size_t all_cells_ = 0;
  bool too_many_cells_ = false;
  std::exception_ptr thrown_;
};

}  // namespace

Document read_markdown(std::string_view text) {
  Document document;
  FrontMatter front = read_front_matter(text);
  if (front.fields.contains("title") && front.fields["title"].is_string()) {
    document.title = front.fields["title"];
    front.fields.erase("title");
  }
  document.metadata = std::move(front.fields);
  MarkdownReader(text, document).read(front.bytes);
  return document;
}

}  // namespace rotor::runtime::rag
