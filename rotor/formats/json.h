// Strict JSON: a duplicate key is an error (many libraries silently keep the last one), and so is anything
// after the value.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace rotor {

using Json = nlohmann::json;

/// Deepest nesting that parse_json accepts.
inline constexpr int kMaxJsonDepth = 64;

/// Parses `text`; `source` names it in errors. Throws Error naming source, place and reason.
Json parse_json(std::string_view text, const std::string& source);

/// Reads and parses a file. Throws Error if it cannot be read.
Json read_json_file(const std::string& path);

/// What error messages quote of a value: one line, at most about 80 characters.
std::string quote_json(const Json& json);

/// Canonical text: keys sorted, `indent` spaces (-1: one line). Invalid UTF-8 becomes U+FFFD.
std::string dump_json(const Json& json, int indent = -1);

}  // namespace rotor
