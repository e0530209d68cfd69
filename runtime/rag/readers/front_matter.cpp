#include "runtime/rag/readers/front_matter.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

/// Behind the quoted text at the beginning of `text`; 0 if it has no end.
size_t behind_quoted(std::string_view text) {
  const char quote = text.front();
  for (size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') {
      ++i;
    } else if (text[i] == quote) {
      if (quote == '"' || !text.substr(i + 1).starts_with('\'')) return i + 1;
      ++i;  // '' is an apostrophe
    }
  }
  return 0;
}

bool is_quoted(std::string_view text) {
  return !text.empty() && (text.front() == '"' || text.front() == '\'') && behind_quoted(text) == text.size();
}

/// JSON's numbers, of which YAML's most are: 007 and 2024-05-01 are texts.
std::optional<Json> as_json_number(std::string_view text) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  const bool may_be = !digits.empty() && std::isdigit(static_cast<unsigned char>(digits.front())) != 0 &&
                      !(digits.size() > 1 && digits[0] == '0' && digits[1] != '.');
  if (!may_be) return std::nullopt;
  int64_t whole = 0;
  const char* const end = text.data() + text.size();
  if (const auto [at, error] = std::from_chars(text.data(), end, whole); error == std::errc() && at == end)
    return whole;
  double number = 0;
  if (const auto [at, error] = std::from_chars(text.data(), end, number); error == std::errc() && at == end)
    return number;
  return std::nullopt;
}

Json scalar(std::string_view text) {
  text = trimmed(text);
  if (is_quoted(text)) {
    if (text.front() == '"') {
      try {
        return parse_json(text, "");
      } catch (const Error&) {
        return std::string(text.substr(1, text.size() - 2));  // YAML has more escapes than JSON
      }
    }
    std::string unquoted;
    for (size_t i = 1; i + 1 < text.size(); ++i) {
      unquoted += text[i];
      if (text[i] == '\'') ++i;
    }
    return unquoted;
  }
  if (text == "true" || text == "false") return text == "true";
  if (text.empty() || text == "null" || text == "~") return nullptr;
  if (const auto number = as_json_number(text)) return *number;
  return std::string(text);
}

/// Up to a comment that is in no quotes.
std::string_view without_comment(std::string_view text) {
  text = trimmed(text);
  if (text.starts_with('#')) return {};
  size_t at = 0;
  if (text.starts_with('"') || text.starts_with('\'')) at = behind_quoted(text);
  return trimmed(text.substr(0, text.find(" #", at)));
}

Json value_of(std::string_view text) {
  if (!text.starts_with('[') || !text.ends_with(']')) return scalar(text);
  Json values = Json::array();
  std::string_view rest = trimmed(text.substr(1, text.size() - 2));
  while (!rest.empty()) {
    size_t end = 0;
    if (rest.front() == '"' || rest.front() == '\'') end = behind_quoted(rest);
    end = std::min(rest.find(',', end), rest.size());
    values.push_back(scalar(rest.substr(0, end)));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    rest = trimmed(rest);
  }
  return values;
}

/// Where the name of a field ends in "name: value"; npos if the line is none.
size_t colon_of(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::string_view::npos;
  const bool ends = colon + 1 == line.size() || line[colon + 1] == ' ' || line[colon + 1] == '\t';
  const bool is_name = std::ranges::all_of(line.substr(0, colon), [](unsigned char c) {
    return std::isalnum(c) != 0 || c >= 0x80 || std::string_view("_-. \"'").find(c) != std::string_view::npos;
  });
  return ends && is_name ? colon : std::string_view::npos;
}

class FieldReader {
 public:
  /// False for a line that YAML does not have here.
  bool take(std::string_view line) {
    const std::string_view content = trimmed(line);
    const bool is_inner = line.starts_with(' ') || line.starts_with('\t');
    if (folded_ != '\0' && (is_inner || content.empty())) {
      std::string& text = value_->get_ref<std::string&>();
      if (!text.empty()) text += folded_ == '|' ? '\n' : ' ';
      text += content;
      return true;
    }
    folded_ = '\0';
    if (content.empty() || content.starts_with('#')) return true;
    if (value_ != nullptr && (content.starts_with("- ") || content == "-")) {
      if (!value_->is_array()) *value_ = Json::array();
      const std::string_view element = without_comment(content.substr(1));
      // "- name: value" begins a mapping.
      const bool is_mapping = !is_quoted(element) && colon_of(element) != std::string_view::npos;
      if (!is_mapping) value_->push_back(value_of(element));
      return true;
    }
    if (is_inner) {  // of a mapping or a list within one
      if (value_ != nullptr && value_->is_null()) value_ = nullptr;
      return true;
    }
    const size_t colon = colon_of(content);
    if (colon == std::string_view::npos) return false;
    const Json name = scalar(content.substr(0, colon));
    Json& field = fields_[name.is_string() ? name.get<std::string>() : name.dump()];
    const std::string_view value = without_comment(content.substr(colon + 1));
    value_ = value.empty() ? &field : nullptr;
    if (value == "|" || value == ">" || value == "|-" || value == ">-") {
      folded_ = value.front();
      field = "";
      value_ = &field;
    } else {
      field = value_of(value);
    }
    return true;
  }

  /// Without fields that have no value, which are mostly those of mappings.
  Json fields() {
    Json with_values = Json::object();
    for (auto& [name, value] : fields_.items()) {
      if (value.is_string()) {
        std::string& text = value.get_ref<std::string&>();
        text.erase(text.find_last_not_of("\n ") + 1);
      }
      if (!value.is_null()) with_values[name] = value;
    }
    return with_values;
  }

 private:
  Json fields_ = Json::object();
  Json* value_ = nullptr;  // what the lines that follow belong to
  char folded_ = '\0';     // '|' or '>': the value is a text of several lines
};

}  // namespace

FrontMatter read_front_matter(std::string_view text) {
  if (!text.starts_with("---\n") && !text.starts_with("---\r\n")) return {};
  FieldReader reader;
  size_t at = text.find('\n') + 1;
  while (at < text.size()) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    at = std::min(text.size(), end + 1);
    if (line == "---" || line == "...") return {reader.fields(), at};
    if (!reader.take(line)) return {};  // a line across the page above a text
  }
  return {};
}

}  // namespace rotor::runtime::rag
