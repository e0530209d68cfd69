// Filters that give texts.
#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// The most that texts are indented by.
constexpr int64_t kMaxIndent = 1000;

/// A filter of a text alone.
template <std::string (*change)(std::string_view)>
Value change_text(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("filter", arguments, {});
  const Value text = to_text_value(self);
  return Value(change(text.text()), text.is_safe());
}

/// The first letter of each word large; words begin behind white space and -({[<.
std::string title_words(std::string_view text) {
  std::string result;
  bool begins = true;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const uint32_t c = next_character(text, i);
    const std::string_view letter = text.substr(begin, i - begin);
    result += begins ? to_upper(letter) : to_lower(letter);
    begins = is_space(c) ||
             (c < 0x80 && std::string_view("-({[<").find(static_cast<char>(c)) != std::string_view::npos);
  }
  return result;
}

Value trim(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("trim", arguments, {"chars"});
  const Value text = to_text_value(self);
  const std::string_view stripped = bound[0].is_undefined() || bound[0].is_none()
                                        ? strip(text.text(), Side::both)
                                        : strip(text.text(), Side::both, bound.text(0, ""));
  return Value(std::string(stripped), text.is_safe());
}

Value replace_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  const int64_t count = bound[2].is_none() ? -1 : bound.integer(2, -1);
  return Value(replace(to_text(self), to_text(bound[0]), to_text(bound[1]), count));
}

Value string_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("string", arguments, {});
  return to_text_value(self);
}

Value safe(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("safe", arguments, {});
  return Value(to_text(self), true);
}

Value escape(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("escape", arguments, {});
  return self.is_safe() ? self : Value(escape_html(to_text(self)), true);
}

Value force_escape(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("forceescape", arguments, {});
  return Value(escape_html(to_text(self)), true);
}

Value indent(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("indent", arguments, {"width", "first", "blank"});
  self.require_defined();
  if (!self.is_text()) fail("indent: expected a text, found ", self.type_name());
  const int64_t width = bound[0].is_text() ? 0 : bound.integer(0, 4);
  if (width > kMaxIndent) fail("indent: expected a width of at most ", kMaxIndent, ", found ", width);
  const std::string spaces = bound[0].is_text() ? bound[0].text() : repeat(" ", width);
  const auto lines = split_lines(cat(self.text(), "\n"), false);
  std::string text = bound.boolean(1, false) ? spaces : "";
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) text += "\n";
    if (i > 0 && (bound.boolean(2, false) || !lines[i].empty())) text += spaces;
    text += lines[i];
    if (text.size() > kMaxTextBytes) break;  // refused below
  }
  return Value(std::move(text), self.is_safe());
}

Value join(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string separator = to_text(bound[0]);
  std::string text;
  bool is_first = true;
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    if (!std::exchange(is_first, false)) text += separator;
    const bool has_path = !bound[1].is_undefined() && !bound[1].is_none();
    text += to_text(has_path ? evaluator.attribute_path(item, bound[1]) : item);
    if (text.size() > kMaxTextBytes) break;  // refused below
  }
  return Value(std::move(text));
}

Value center(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("center", arguments, {"width"});
  const std::string text = to_text(self);
  const int64_t space = bound.integer(0, 80) - static_cast<int64_t>(count_characters(text));
  const int64_t left = space / 2 + (space & bound.integer(0, 80) & 1);
  return Value(repeat(" ", left).append(text).append(repeat(" ", space > 0 ? space - left : 0)));
}

Value to_json_filter(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style{.ensure_ascii = bound.boolean(0, false), .sort_keys = bound.boolean(3, false)};
  style.has_indent = bound.has(1) && !bound[1].is_none();
  if (style.has_indent) {
    style.indent =
        bound[1].is_text() ? bound[1].text() : repeat(" ", std::min(bound.integer(1, 0), kMaxIndent));
    style.item_separator.pop_back();  // the line ends there
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const auto separators = iterate(bound[2]);
    if (separators->items.size() != 2 || !separators->items[0].is_text() || !separators->items[1].is_text())
      fail("tojson: separators: expected two texts");
    style.item_separator = separators->items[0].text();
    style.key_separator = separators->items[1].text();
  }
  evaluator.charge(self.weight());
  return Value(to_json(self, style));
}

Value format(Evaluator&, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty() && !arguments.positional.empty())
    fail("format: expected arguments either with or without names");
  Dict named;
  for (const auto& [name, value] : arguments.named) named.set(name, value);
  const Value values =
      arguments.named.empty() ? make_tuple(arguments.positional) : make_dict(std::move(named));
  return Value(format_percent(to_text(self), values), self.is_safe());
}

}  // namespace

const FunctionTable& text_filters() {
  static const FunctionTable kFilters = {{"trim", trim},
                                         {"upper", change_text<to_upper>},
                                         {"lower", change_text<to_lower>},
                                         {"title", change_text<title_words>},
                                         {"capitalize", change_text<capitalize>},
                                         {"replace", replace_filter},
                                         {"string", string_filter},
                                         {"safe", safe},
                                         {"escape", escape},
                                         {"e", escape},
                                         {"forceescape", force_escape},
                                         {"indent", indent},
                                         {"join", join},
                                         {"center", center},
                                         {"tojson", to_json_filter},
                                         {"format", format}};
  return kFilters;
}

}  // namespace rotor::text::jinja
