// Values as PostgreSQL reads them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rag/filter.h"

namespace rotor::runtime::rag {

/// Bytes as PostgreSQL takes them: it keeps UTF-8 without U+0000 alone, but names of files may be anything.
/// What it would refuse becomes a character of U+10FF00..U+10FFFF, a byte each, which nobody uses.
std::string to_utf8(std::string_view bytes);
std::string from_utf8(std::string_view text);

/// A statement with its values; they stand for $1, $2, ...
class Query {
 public:
  explicit Query(std::string sql = "") : sql_(std::move(sql)) {}

  const std::string& sql() const { return sql_; }
  const std::vector<std::string>& values() const { return values_; }

  Query& operator<<(std::string_view sql);
  /// Adds a value; the text that stands for it in the statement.
  std::string bind(std::string value);
  std::string bind(int64_t value) { return bind(std::to_string(value)); }
  std::string bind(double value);

 private:
  std::string sql_;
  std::vector<std::string> values_;
};

/// What a filter adds to the conditions of a statement in which `documents` is called d.
void add_filter(Query& query, const Filter& filter);

/// The values of an array; nothing: NULL.
std::string array_text(std::span<const std::optional<std::string>> values);
std::string array_text(std::span<const std::string> values);
std::string array_text(std::span<const int64_t> values);
/// Exact.
std::string number_text(double value);
/// Of type vector, of pgvector.
std::string vector_text(std::span<const float> values);
/// Of type tsvector: `words` in order, each at its place.
std::string tsvector_text(std::span<const std::string> words);
/// Of type tsquery: this word.
std::string tsquery_text(const std::string& word);
/// A name of a table or schema.
std::string quoted_name(const std::string& name);

}  // namespace rotor::runtime::rag
