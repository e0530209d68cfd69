// Methods of texts, dicts and lists. Those that change a value are refused, as in Jinja2's immutable sandbox.
#include <algorithm>
#include <array>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

using Strings = std::vector<std::string>;

Value list_of(const Strings& texts, bool is_safe) {
  Items items;
  for (const std::string& text : texts) items.emplace_back(text, is_safe);
  return make_list(std::move(items));
}

/// A method without arguments that gives a text.
template <std::string (*change)(std::string_view)>
Value change_text(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("method", arguments, {});
  return Value(change(self.text()), self.is_safe());
}

std::string swap_case(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t begin = i;
    const bool is_large = is_upper(next_character(text, i));
    const std::string_view letter = text.substr(begin, i - begin);
    result += is_large ? to_lower(letter) : to_upper(letter);
  }
  return result;
}

/// Whether there are characters, and all of them are so.
template <bool (*matches)(uint32_t)>
Value every(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("method", arguments, {});
  const std::string& text = self.text();
  for (size_t i = 0; i < text.size();) {
    if (!matches(next_character(text, i))) return false;
  }
  return !text.empty();
}

/// Whether there are letters with a case, and all of them have that one.
template <bool (*wanted)(uint32_t), bool (*other)(uint32_t)>
Value has_case(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("method", arguments, {});
  bool found = false;
  const std::string& text = self.text();
  for (size_t i = 0; i < text.size();) {
    const uint32_t c = next_character(text, i);
    if (other(c)) return false;
    found = found || wanted(c);
  }
  return found;
}

bool is_alphanumeric(uint32_t character) {
  return is_letter(character) || is_digit(character);
}

template <Side side>
Value strip_method(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("strip", arguments, {"chars"});
  const bool has_set = bound.has(0) && !bound[0].is_none();
  return Value(std::string(has_set ? strip(self.text(), side, bound.text(0, "")) : strip(self.text(), side)),
               self.is_safe());
}

template <bool from_right>
Value split_method(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("split", arguments, {"sep", "maxsplit"});
  const int64_t limit = bound.integer(1, -1);
  if (!bound.has(0) || bound[0].is_none())
    return list_of(from_right ? split_right(self.text(), limit) : split(self.text(), limit), self.is_safe());
  const std::string separator = bound.text(0, "");
  if (separator.empty()) fail("split: expected a separator that is not empty");
  return list_of(
      from_right ? split_right(self.text(), separator, limit) : split(self.text(), separator, limit),
      self.is_safe());
}

template <bool from_right>
Value partition(Evaluator&, const Value& self, const Arguments& arguments) {
  const std::string separator = Bound("partition", arguments, {"sep"}, 1).text(0, "");
  if (separator.empty()) fail("partition: expected a separator that is not empty");
  const std::string& text = self.text();
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  if (at == std::string::npos) return from_right ? make_tuple({"", "", text}) : make_tuple({text, "", ""});
  return make_tuple({text.substr(0, at), separator, text.substr(at + separator.size())});
}

Value split_lines_method(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("splitlines", arguments, {"keepends"});
  return list_of(split_lines(self.text(), bound.boolean(0, false)), self.is_safe());
}

/// The characters [start, end) of `text`, as the arguments 1 and 2 say.
std::pair<int64_t, int64_t> range_of(const std::string& text, const Bound& bound) {
  const auto length = static_cast<int64_t>(count_characters(text));
  const auto place = [&](size_t i, int64_t fallback) {
    const int64_t index = bound[i].is_none() ? fallback : bound.integer(i, fallback);
    return std::max<int64_t>(index < 0 ? std::max(index, -length) + length : index, 0);
  };
  return {place(1, 0), std::min(place(2, length), length)};
}

template <bool at_end>
Value starts_or_ends(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound(at_end ? "endswith" : "startswith", arguments, {"part", "start", "end"}, 1);
  const auto [begin, end] = range_of(self.text(), bound);
  const std::string_view text = substring(self.text(), begin, end);
  const auto matches = [&, is_range = begin <= end](const Value& part) {
    if (!part.is_text()) fail("expected a text or a tuple of texts, found ", part.type_name());
    return is_range && (at_end ? text.ends_with(part.text()) : text.starts_with(part.text()));
  };
  const Sequence* parts = bound[0].sequence();
  if (parts != nullptr && parts->type == Sequence::Type::tuple)
    return std::ranges::any_of(parts->items, matches);
  return matches(bound[0]);
}

Value replace_method(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("replace", arguments, {"old", "new", "count"}, 2);
  return Value(replace(self.text(), bound.text(0, ""), bound.text(1, ""), bound.integer(2, -1)),
               self.is_safe());
}

template <bool from_right, bool must_exist>
Value find_in_text(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("find", arguments, {"sub", "start", "end"}, 1);
  const std::string& text = self.text();
  const auto [begin, end] = range_of(text, bound);
  int64_t found = -1;
  if (begin <= end) {
    const std::string_view part = substring(text, begin, end);
    const std::string wanted = bound.text(0, "");
    const size_t at = from_right ? part.rfind(wanted) : part.find(wanted);
    if (at != std::string_view::npos)
      found = begin + static_cast<int64_t>(count_characters(part.substr(0, at)));
  }
  if (must_exist && found < 0) fail("index: the text is not found");
  return found;
}

Value count_in_text(Evaluator&, const Value& self, const Arguments& arguments) {
  const std::string part = Bound("count", arguments, {"sub"}, 1).text(0, "");
  if (part.empty()) return count_characters(self.text()) + 1;
  int64_t count = 0;
  for (size_t at = self.text().find(part); at != std::string::npos;
       at = self.text().find(part, at + part.size()))
    ++count;
  return count;
}

Value join_method(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("join", arguments, {"iterable"}, 1);
  std::string text;
  bool is_first = true;
  const auto source = iterate(bound[0]);
  for (const Value& item : source->items) {
    if (!item.is_text()) fail("join: expected texts, found ", item.type_name());
    if (!std::exchange(is_first, false)) text += self.text();
    text += item.text();
    if (text.size() > kMaxTextBytes) break;  // refused below
  }
  return Value(std::move(text));
}

/// ljust, rjust and zfill.
template <bool on_left, bool is_number>
Value pad(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("pad", arguments, {"width", "fillchar"}, 1);
  const std::string fill = is_number ? "0" : bound.text(1, " ");
  if (count_characters(fill) != 1) fail("expected one character to fill with, found ", quote(fill));
  const std::string& text = self.text();
  const std::string space = repeat(fill, bound.integer(0, 0) - static_cast<int64_t>(count_characters(text)));
  if (!on_left) return Value(text + space);
  const size_t sign = is_number && (text.starts_with('-') || text.starts_with('+')) ? 1 : 0;
  return Value(text.substr(0, sign) + space + text.substr(sign));
}

template <bool at_end>
Value remove_affix(Evaluator&, const Value& self, const Arguments& arguments) {
  const std::string part = Bound("removeprefix", arguments, {"part"}, 1).text(0, "");
  const std::string& text = self.text();
  if (at_end ? !text.ends_with(part) : !text.starts_with(part)) return self;
  return Value(at_end ? text.substr(0, text.size() - part.size()) : text.substr(part.size()));
}

Value dict_get(Evaluator&, const Value& self, const Arguments& arguments) {
  if (!arguments.named.empty()) fail("get: expected arguments without names");
  const Bound bound("get", arguments, {"key", "default"}, 1);
  if (bound[0].sequence() != nullptr || bound[0].dict() != nullptr)
    fail("get: a value of type ", bound[0].type_name(), " is no key");
  const Value* found = self.dict()->find(bound[0]);
  return found != nullptr ? *found : bound.has(1) ? bound[1] : Value(nullptr);
}

/// keys (0), values (1) and items (2).
template <int part>
Value dict_view(Evaluator&, const Value& self, const Arguments& arguments) {
  constexpr const char* kLabels[] = {"dict_keys", "dict_values", "dict_items"};
  const Bound none(kLabels[part], arguments, {});
  Items items;
  for (const auto& [key, value] : self.dict()->entries)
    items.push_back(part == 0 ? key : part == 1 ? value : make_tuple({key, value}));
  return make_sequence(Sequence::Type::view, std::move(items), kLabels[part]);
}

Value copy(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("copy", arguments, {});
  return self;
}

Value index_in_list(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("index", arguments, {"value"}, 1);
  evaluator.charge(self.weight());
  const Items& items = self.sequence()->items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (is_equal(items[i], bound[0])) return i;
  }
  fail("index: the value is not in the list");
}

Value count_in_list(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("count", arguments, {"value"}, 1);
  evaluator.charge(self.weight());
  return std::ranges::count_if(self.sequence()->items, [&](const Value& x) { return is_equal(x, bound[0]); });
}

Value loop_cycle(Evaluator&, const Value& self, const Arguments& arguments) {
  const Items& items = arguments.positional;
  if (items.empty()) fail("loop.cycle: expected at least one value");
  return items[static_cast<size_t>(self.loop()->index) % items.size()];
}

/// What stands for methods that Python has and this has not, or that would change a value.
Value unsupported(Evaluator&, const Value& self, const Arguments&) {
  fail("this method of ", self.type_name(), " is not supported in chat templates");
}

const FunctionTable& text_methods() {
  static const FunctionTable kMethods = {{"strip", strip_method<Side::both>},
                                         {"lstrip", strip_method<Side::left>},
                                         {"rstrip", strip_method<Side::right>},
                                         {"split", split_method<false>},
                                         {"rsplit", split_method<true>},
                                         {"splitlines", split_lines_method},
                                         {"partition", partition<false>},
                                         {"rpartition", partition<true>},
                                         {"startswith", starts_or_ends<false>},
                                         {"endswith", starts_or_ends<true>},
                                         {"upper", change_text<to_upper>},
                                         {"lower", change_text<to_lower>},
                                         {"casefold", change_text<to_lower>},
                                         {"title", change_text<to_title>},
                                         {"capitalize", change_text<capitalize>},
                                         {"swapcase", change_text<swap_case>},
                                         {"replace", replace_method},
                                         {"find", find_in_text<false, false>},
                                         {"rfind", find_in_text<true, false>},
                                         {"index", find_in_text<false, true>},
                                         {"rindex", find_in_text<true, true>},
                                         {"count", count_in_text},
                                         {"join", join_method},
                                         {"ljust", pad<false, false>},
                                         {"rjust", pad<true, false>},
                                         {"zfill", pad<true, true>},
                                         {"removeprefix", remove_affix<false>},
                                         {"removesuffix", remove_affix<true>},
                                         {"isalpha", every<is_letter>},
                                         {"isalnum", every<is_alphanumeric>},
                                         {"isdigit", every<is_digit>},
                                         {"isdecimal", every<is_digit>},
                                         {"isnumeric", every<is_digit>},
                                         {"isspace", every<is_space>},
                                         {"isupper", has_case<is_upper, is_lower>},
                                         {"islower", has_case<is_lower, is_upper>},
                                         {"center", unsupported},
                                         {"encode", unsupported},
                                         {"expandtabs", unsupported},
                                         {"format", unsupported},
                                         {"format_map", unsupported},
                                         {"isascii", unsupported},
                                         {"isidentifier", unsupported},
                                         {"isprintable", unsupported},
                                         {"istitle", unsupported},
                                         {"maketrans", unsupported},
                                         {"translate", unsupported}};
  return kMethods;
}

const FunctionTable& methods_of(const Value& value) {
  static const FunctionTable kNone;
  static const FunctionTable kDict = {{"get", dict_get},        {"keys", dict_view<0>},
                                      {"values", dict_view<1>}, {"items", dict_view<2>},
                                      {"copy", copy},           {"fromkeys", unsupported}};
  static const FunctionTable kList = {{"index", index_in_list}, {"count", count_in_list}, {"copy", copy}};
  static const FunctionTable kTuple = {{"index", index_in_list}, {"count", count_in_list}};
  static const FunctionTable kLoop = {{"cycle", loop_cycle}, {"changed", unsupported}};
  if (value.is_text()) return text_methods();
  if (value.dict() != nullptr) return kDict;
  if (value.loop() != nullptr) return kLoop;
  if (value.sequence() == nullptr) return kNone;
  if (value.sequence()->type == Sequence::Type::list) return kList;
  return value.sequence()->type <= Sequence::Type::range ? kTuple : kNone;
}

/// Whether it is a method that changes a value of this kind.
bool is_changing(const Value& value, std::string_view name) {
  static constexpr std::array<std::string_view, 8> kOfList = {"append", "clear",  "extend",  "insert",
                                                              "pop",    "remove", "reverse", "sort"};
  static constexpr std::array<std::string_view, 5> kOfDict = {"clear", "pop", "popitem", "setdefault",
                                                              "update"};
  if (value.dict() != nullptr) return std::ranges::find(kOfDict, name) != kOfDict.end();
  return value.sequence() != nullptr && value.sequence()->type == Sequence::Type::list &&
         std::ranges::find(kOfList, name) != kOfList.end();
}

}  // namespace

std::optional<Value> find_method(const Value& self, const std::string& name) {
  const FunctionTable& methods = methods_of(self);
  if (const auto found = methods.find(name); found != methods.end()) {
    return std::make_shared<const Callable>(Callable{.name = name, .self = self, .function = found->second});
  }
  if (!is_changing(self, name)) return std::nullopt;
  return Value::undefined(cat("the method ", name, " would change a ", self.type_name(),
                              ": values in chat templates do not change, but in a namespace"));
}

}  // namespace rotor::text::jinja
