// Values as text: as Python's str and repr, and as json.dumps write them.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// Text that may not get too long.
class Builder {
 public:
  Builder& operator<<(std::string_view part) {
    if (text_.size() + part.size() > kMaxTextBytes) fail("a text gets longer than ", kMaxTextBytes, " bytes");
    text_ += part;
    return *this;
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

void write_literal(Builder& out, const Value& value);

void write_items(Builder& out, const Items& items) {
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out << ", ";
    write_literal(out, items[i]);
  }
}

void write_sequence(Builder& out, const Sequence& sequence) {
  switch (sequence.type) {
    case Sequence::Type::list:
    case Sequence::Type::view:
      if (sequence.type == Sequence::Type::view) out << sequence.label << "(";
      out << "[";
      write_items(out, sequence.items);
      out << "]";
      if (sequence.type == Sequence::Type::view) out << ")";
      return;
    case Sequence::Type::tuple:
      out << "(";
      write_items(out, sequence.items);
      out << (sequence.items.size() == 1 ? ",)" : ")");
      return;
    case Sequence::Type::range:
      out << sequence.label;
      return;
    case Sequence::Type::generator:
      fail("a generator is printed: the filter list makes a list of it");
  }
}

void write_literal(Builder& out, const Value& value) {
  if (value.is_undefined()) {
    out << "Undefined";
  } else if (value.is_none()) {
    out << "None";
  } else if (value.is_boolean()) {
    out << (value.integer() != 0 ? "True" : "False");
  } else if (value.is_integral()) {
    out << std::to_string(value.integer());
  } else if (value.is_real()) {
    out << float_text(value.number());
  } else if (value.is_text()) {
    if (value.is_safe()) out << "Markup(";
    out << quote(value.text());
    if (value.is_safe()) out << ")";
  } else if (value.sequence() != nullptr) {
    write_sequence(out, *value.sequence());
  } else if (const Dict* dict = value.dict()) {
    out << "{";
    for (size_t i = 0; i < dict->entries.size(); ++i) {
      if (i > 0) out << ", ";
      write_literal(out, dict->entries[i].first);
      out << ": ";
      write_literal(out, dict->entries[i].second);
    }
    out << "}";
  } else {
    fail("a value of type ", value.type_name(), " is printed");
  }
}

std::string json_string(std::string_view text, bool ensure_ascii) {
  std::string result = "\"";
  std::array<char, 16> code{};
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_character(text, i);
    constexpr std::string_view kEscaped = "\"\\\n\r\t\f\b";
    constexpr std::string_view kNames = "\"\\nrtfb";
    const size_t escape = c < 0x80 ? kEscaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (escape != std::string_view::npos) {
      result += {'\\', kNames[escape]};
    } else if (c >= 0x20 && (c < 0x80 || !ensure_ascii)) {
      result += text.substr(begin, i - begin);
    } else if (c < 0x10000) {
      std::snprintf(code.data(), code.size(), "\\u%04x", c);
      result += code.data();
    } else {
      std::snprintf(code.data(), code.size(), "\\u%04x\\u%04x", 0xD800 + ((c - 0x10000) >> 10),
                    0xDC00 + ((c - 0x10000) & 0x3FF));
      result += code.data();
    }
  }
  return result + '"';
}

std::string json_scalar(const Value& value) {
  if (value.is_none()) return "null";
  if (value.is_boolean()) return value.integer() != 0 ? "true" : "false";
  if (value.is_integral()) return std::to_string(value.integer());
  if (!value.is_real()) fail("a value of type ", value.type_name(), " is written as JSON");
  if (std::isnan(value.number())) return "NaN";
  if (std::isinf(value.number())) return value.number() < 0 ? "-Infinity" : "Infinity";
  return float_text(value.number());
}

void write_json(Builder& out, const Value& value, const JsonStyle& style, int depth);

/// The items that `write_item` writes, between brackets.
template <class WriteItem>
void write_json_items(Builder& out, std::string_view brackets, size_t count, const JsonStyle& style,
                      int depth, WriteItem write_item) {
  out << brackets.substr(0, 1);
  const auto new_line = [&](int indents) {
    if (!style.has_indent) return;
    out << "\n";
    for (; indents > 0; --indents) out << style.indent;
  };
  for (size_t i = 0; i < count; ++i) {
    if (i > 0) out << style.item_separator;
    new_line(depth + 1);
    write_item(i);
  }
  if (count > 0) new_line(depth);
  out << brackets.substr(1);
}

void write_json(Builder& out, const Value& value, const JsonStyle& style, int depth) {
  if (value.is_text()) {
    out << json_string(value.text(), style.ensure_ascii);
  } else if (value.sequence() != nullptr && value.sequence()->type <= Sequence::Type::tuple) {
    const Items& items = value.sequence()->items;
    write_json_items(out, "[]", items.size(), style, depth,
                     [&](size_t i) { write_json(out, items[i], style, depth + 1); });
  } else if (value.dict() != nullptr) {
    auto entries = value.dict()->entries;
    if (style.sort_keys) {
      std::ranges::stable_sort(entries,
                               [](const auto& a, const auto& b) { return compare(a.first, b.first) < 0; });
    }
    write_json_items(out, "{}", entries.size(), style, depth, [&](size_t i) {
      const auto& [key, entry] = entries[i];
      out << json_string(key.is_text() ? key.text() : json_scalar(key), style.ensure_ascii)
          << style.key_separator;
      write_json(out, entry, style, depth + 1);
    });
  } else {
    out << json_scalar(value);
  }
}

}  // namespace

std::string to_literal(const Value& value) {
  Builder out;
  write_literal(out, value);
  return out.take();
}

std::string to_text(const Value& value) {
  if (value.is_undefined()) return "";
  return value.is_text() ? value.text() : to_literal(value);
}

Value to_text_value(const Value& value) {
  return value.is_text() ? value : Value(to_text(value));
}

std::string to_json(const Value& value, const JsonStyle& style) {
  Builder out;
  write_json(out, value, style, 0);
  return out.take();
}

}  // namespace rotor::text::jinja
