// What Python's str does, on valid UTF-8: positions count characters, letters have Unicode's cases. Where a
// letter's other case is more than one character, it stays as it is, but for the German sharp s.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rotor::text::jinja {

bool is_valid_utf8(std::string_view text);
/// The character at `offset`, which is moved behind it.
uint32_t next_character(std::string_view text, size_t& offset);
void append_character(std::string& text, uint32_t character);
size_t count_characters(std::string_view text);
std::vector<std::string_view> split_characters(std::string_view text);
/// Characters [begin, end).
std::string_view substring(std::string_view text, int64_t begin, int64_t end);

bool is_space(uint32_t character);
bool is_letter(uint32_t character);
bool is_digit(uint32_t character);
bool is_upper(uint32_t character);
bool is_lower(uint32_t character);
bool is_printable(uint32_t character);

enum class Side { left, right, both };
/// Without the white space at its ends.
std::string_view strip(std::string_view text, Side side);
/// Without those of `characters` at its ends.
std::string_view strip(std::string_view text, Side side, std::string_view characters);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
/// The first letter large, the others small.
std::string capitalize(std::string_view text);
/// Every letter behind none large, the others small (str.title, not the filter).
std::string to_title(std::string_view text);

/// At white space, at most `limit` times (-1: at all).
std::vector<std::string> split(std::string_view text, int64_t limit);
/// At `separator`, which is not empty.
std::vector<std::string> split(std::string_view text, std::string_view separator, int64_t limit);
/// The same from the right.
std::vector<std::string> split_right(std::string_view text, int64_t limit);
std::vector<std::string> split_right(std::string_view text, std::string_view separator, int64_t limit);
std::vector<std::string> split_lines(std::string_view text, bool keep_ends);

/// At most `limit` times (-1: at all). Throws Error if the result gets too long.
std::string replace(std::string_view text, std::string_view from, std::string_view to, int64_t limit);
/// `text` times `count`. Throws Error if the result gets too long.
std::string repeat(std::string_view text, int64_t count);

/// With quotes, as a literal.
std::string quote(std::string_view text);
/// The shortest digits that give `value` again.
std::string float_text(double value);
/// Whether `text` is a number, as int(text, base) and float(text) read it.
bool parse_integer(std::string_view text, int64_t base, int64_t& value);
bool parse_float(std::string_view text, double& value);

/// "&amp;" for "&", and so on.
std::string escape_html(std::string_view text);

}  // namespace rotor::text::jinja
