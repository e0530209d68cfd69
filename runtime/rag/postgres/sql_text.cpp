#include "runtime/rag/postgres/sql_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

using Relation = Condition::Relation;

constexpr utf8proc_int32_t kByteCharacters = 0x10FF00;
/// Of words that are longer; PostgreSQL keeps 2,046 bytes.
constexpr size_t kLongestWord = 500;
/// Places in a tsvector end here.
constexpr size_t kLastPlace = 16383;
/// Of longer texts of metadata an index has that much.
constexpr const char* kIndexedText = "left(text, 100)";

std::string character(utf8proc_int32_t code) {
  utf8proc_uint8_t bytes[4];
  return {reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(code, bytes))};
}

/// The character that `text` begins with; its size is 0 or less if there is none.
std::pair<utf8proc_int32_t, size_t> first_character(std::string_view text) {
  utf8proc_int32_t code = -1;
  const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()), &code);
  return {code, size <= 0 ? 0 : static_cast<size_t>(size)};
}

std::string with_doubled(std::string_view text, std::string_view doubled, std::string_view before) {
  std::string result;
  for (const char c : text) {
    if (doubled.find(c) != std::string_view::npos)
      result += before.empty() ? std::string_view(&c, 1) : before;
    result += c;
  }
  return result;
}

std::string quoted_word(const std::string& word) {
  std::string kept = to_utf8(word);
  if (kept.size() > kLongestWord) {
    size_t end = kLongestWord;
    while ((static_cast<unsigned char>(kept[end]) & 0xC0U) == 0x80U) --end;
    kept.resize(end);
  }
  return cat("'", with_doubled(kept, "'\\", ""), "'");
}

/// As many digits as it takes to read it back.
std::string digits(auto value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

const char* sql_sign(Relation relation) {
  switch (relation) {
    case Relation::less:
      return " < ";
    case Relation::at_most:
      return " <= ";
    case Relation::greater:
      return " > ";
    case Relation::at_least:
      return " >= ";
    default:
      return " = ";
  }
}

std::string joined(std::span<const std::string> parts, char open, char close) {
  std::string text(1, open);
  for (const std::string& part : parts) {
    if (text.size() > 1) text += ',';
    text += part;
  }
  return text + close;
}

}  // namespace

std::string to_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const auto [code, size] = first_character(bytes);
    if (size == 0 || code == 0) {
      text += character(kByteCharacters + static_cast<unsigned char>(bytes.front()));
      bytes.remove_prefix(1);
    } else {
      text += bytes.substr(0, size);
      bytes.remove_prefix(size);
    }
  }
  return text;
}

std::string from_utf8(std::string_view text) {
  constexpr std::string_view kFirstBytes = "\xF4\x8F";  // of all of them
  if (text.find(kFirstBytes) == std::string_view::npos) return std::string(text);
  std::string bytes;
  while (!text.empty()) {
    const auto [code, size] = first_character(text);
    const size_t taken = std::max<size_t>(size, 1);
    if (code >= kByteCharacters && code <= kByteCharacters + 0xFF) {
      bytes += static_cast<char>(code - kByteCharacters);
    } else {
      bytes += text.substr(0, taken);
    }
    text.remove_prefix(taken);
  }
  return bytes;
}

Query& Query::operator<<(std::string_view sql) {
  sql_ += sql;
  return *this;
}

std::string Query::bind(std::string value) {
  values_.push_back(std::move(value));
  return cat("$", values_.size());
}

std::string Query::bind(double value) {
  return bind(digits(value)) + "::float8";
}

void add_filter(Query& query, const Filter& filter) {
  for (const Condition& condition : filter) {
    const Relation relation = condition.relation;
    const bool is_order =
        relation != Relation::equal && relation != Relation::not_equal && relation != Relation::begins_with;
    query << (relation == Relation::not_equal ? " AND d.number NOT IN " : " AND d.number IN ")
          << "(SELECT document FROM fields WHERE field = " << query.bind(to_utf8(condition.field)) << " AND ";
    const auto number = is_order ? as_number(condition.value) : std::nullopt;
    if (number) {
      query << "number" << sql_sign(relation) << query.bind(*number) << ")";
      continue;
    }
    const std::string value = query.bind(to_utf8(condition.value));
    if (relation == Relation::begins_with) {
      query << "starts_with(text, " << value << "))";
    } else if (is_order) {
      query << "text" << sql_sign(relation) << value << ")";
    } else {
      query << kIndexedText << " = left(" << value << ", 100) AND text = " << value << ")";
    }
  }
}

std::string array_text(std::span<const std::optional<std::string>> values) {
  std::vector<std::string> parts;
  for (const auto& value : values)
    parts.push_back(value ? cat("\"", with_doubled(*value, "\"\\", "\\"), "\"") : "NULL");
  return joined(parts, '{', '}');
}

std::string array_text(std::span<const std::string> values) {
  return array_text(std::vector<std::optional<std::string>>(values.begin(), values.end()));
}

std::string array_text(std::span<const int64_t> values) {
  std::vector<std::string> parts;
  for (const int64_t value : values) parts.push_back(std::to_string(value));
  return joined(parts, '{', '}');
}

std::string number_text(double value) {
  return digits(value);
}

std::string vector_text(std::span<const float> values) {
  std::vector<std::string> parts;
  for (const float value : values) parts.push_back(digits(value));
  return joined(parts, '[', ']');
}

std::string tsvector_text(std::span<const std::string> words) {
  std::map<std::string, std::string> places;  // of each word
  for (size_t i = 0; i < words.size(); ++i) {
    std::string& its = places[quoted_word(words[i])];
    its.append(its.empty() ? ":" : ",").append(std::to_string(std::min(i + 1, kLastPlace)));
  }
  std::string text;
  for (const auto& [word, its] : places) text.append(word).append(its).append(" ");
  return text;
}

std::string tsquery_text(const std::string& word) {
  return quoted_word(word);
}

std::string quoted_name(const std::string& name) {
  return cat("\"", with_doubled(name, "\"", ""), "\"");
}

}  // namespace rotor::runtime::rag
