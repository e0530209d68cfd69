// JSON lines: {"id": ..., "title": ..., "text": ...} each; what else is in them becomes metadata.
#include <array>
#include <cerrno>
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/text/stream_decoder.h"
#include "runtime/rag/readers/reader.h"
#include "runtime/rag/readers/regular_file.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongestLine = 64 << 20;

/// The first of these fields that is there and a text or a number, taken out. Others stay.
std::string take_text(Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (!object.contains(name)) continue;
    const Json& value = object[name];
    if (!value.is_string() && !value.is_number()) continue;
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    object.erase(name);
    return text;
  }
  return "";
}

std::string take_contents(Json& object, const std::string& where) {
  for (const char* name : {"text", "content", "contents", "body"}) {
    if (!object.contains(name)) continue;
    if (!object[name].is_string())
      fail(where, ": ", name, ": expected a string, found ", quote_json(object[name]));
    std::string text = object[name];
    object.erase(name);
    return text;
  }
  fail(where, ": text: expected a string, found none (of text, content, contents and body)");
}

/// What no filter can ask for is kept as a text.
Json as_metadata(Json object, const std::string& where) {
  Json metadata = Json::object();
  if (object.contains("metadata")) {
    metadata = object["metadata"].is_null() ? Json::object() : object["metadata"];
    if (!metadata.is_object()) fail(where, ": metadata: expected an object, found ", quote_json(metadata));
    object.erase("metadata");
  }
  metadata.update(object);
  for (auto& [field, value] : metadata.items()) {
    if (value.is_object()) value = value.dump();
    if (!value.is_array()) continue;
    for (Json& element : value) {
      if (element.is_structured() || element.is_null()) element = element.dump();
    }
  }
  return metadata;
}

Document read_line(std::string_view line, const std::string& where, const std::string& path, int64_t number) {
  Json object = parse_json(line, where);
  if (!object.is_object()) fail(where, ": expected an object, found ", quote_json(object));
  Document document = read_plain_text(take_contents(object, where));
  for (Block& block : document.blocks) block.place = {number, 0};
  for (const char* name : {"id", "_id", "doc_id"}) {
    if (object.contains(name) && !object[name].is_string() && !object[name].is_number_integer())
      fail(where, ": ", name, ": expected a string or an integer, found ", quote_json(object[name]));
  }
  const std::string id = take_text(object, {"id", "_id", "doc_id"});
  document.id = path + "#" + (id.empty() ? std::to_string(number) : id);
  document.title = take_text(object, {"title"});
  document.source = take_text(object, {"source", "url"});
  if (document.source.empty()) document.source = path;
  document.metadata = as_metadata(std::move(object), where);
  bool has_zero = false;
  for (const std::string* text : {&document.id, &document.title, &document.source})
    has_zero = has_zero || text->find('\0') != std::string::npos;
  for (const Block& block : document.blocks)
    has_zero = has_zero || block.text.find('\0') != std::string::npos;
  if (has_zero) fail(where, ": expected texts, found one with a character \\u0000");
  return document;
}

/// The lines of a file, none of them longer than kLongestLine in memory.
class LineFile {
 public:
  explicit LineFile(const std::string& path) : path_(path), file_(path) {}

  /// False at the end.
  bool next(std::string& line) {
    line.clear();
    ++number_;
    while (true) {
      const std::string_view rest = std::string_view(bytes_.data(), filled_).substr(used_);
      const size_t end = std::min(rest.find('\n'), rest.size());
      line += rest.substr(0, end);
      if (line.size() > kLongestLine) {
        fail(where(), ": expected at most ", kLongestLine,
             " bytes, found more: one JSON object a line is expected, as jq -c '.[]' makes of an array");
      }
      if (end < rest.size()) {
        used_ += end + 1;
        return true;
      }
      used_ = 0;
      filled_ = file_.read(bytes_.data(), bytes_.size());
      if (filled_ == 0) return !line.empty();
    }
  }

  std::string where() const { return cat(path_, ", line ", number_); }
  int64_t number() const { return number_; }
  int64_t position() const { return file_.position() - static_cast<int64_t>(filled_ - used_); }
  int64_t size() const { return file_.size(); }

 private:
  std::string path_;
  RegularFile file_;
  std::array<char, 65536> bytes_;
  size_t filled_ = 0;
  size_t used_ = 0;
  int64_t number_ = 0;
};

/// The line in UTF-8. What it is, is not guessed: each line for itself would be another guess.
std::string as_utf8(std::string line, const std::string& encoding, const std::string& where) {
  if (!encoding.empty()) return to_utf8(line, encoding, where);
  if (const size_t valid = text::valid_utf8_prefix(line); valid != line.size())
    fail(where, ": byte ", valid, " is not UTF-8; --encoding says what it is");
  return line;
}

/// Else line ends are no line ends.
bool has_ascii(const std::string& encoding, const std::string& path) {
  to_utf8("", encoding, path);  // throws for one that nobody knows
  try {
    return to_utf8("{}{}", encoding, path) == "{}{}";
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void read_json_lines(const std::string& path, const ReadOptions& options, const OnDocument& on_document) {
  LineFile file(path);
  if (!options.encoding.empty() && !has_ascii(options.encoding, path)) {
    fail(path, ": JSON lines: expected an encoding in which ASCII is ASCII, found \"", options.encoding,
         "\"; iconv -t UTF-8 converts the file");
  }
  for (std::string line; file.next(line);) {
    if (file.number() == 1 && options.encoding.empty()) {
      if (line.starts_with("\xFF\xFE") || line.starts_with("\xFE\xFF"))
        fail(path, ": JSON lines: expected UTF-8, found UTF-16; iconv -f UTF-16 -t UTF-8 converts the file");
      if (line.starts_with("\xEF\xBB\xBF")) line.erase(0, 3);
    }
    const std::string where = file.where();
    const std::string text = as_utf8(std::move(line), options.encoding, where);
    const bool is_empty = trimmed(text).empty();
    if (!is_empty && !on_document(read_line(text, where, path, file.number()))) return;
    if (options.progress) options.progress(file.position(), file.size());
  }
}

}  // namespace rotor::runtime::rag
