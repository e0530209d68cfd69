// The functions that every template has, as transformers gives them, and how arguments meet parameters.
#include <algorithm>
#include <array>
#include <ctime>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

Value range_function(Evaluator&, const Value&, const Arguments& arguments) {
  constexpr int64_t kMaxRange = 100'000;  // as in Jinja2's sandbox
  if (!arguments.named.empty()) fail("range: expected arguments without names");
  const Bound bound("range", arguments, {"start", "stop", "step"}, 1);
  const int64_t start = bound.has(1) ? bound.integer(0, 0) : 0;
  const int64_t stop = bound.integer(bound.has(1) ? 1 : 0, 0);
  const int64_t step = bound.integer(2, 1);
  if (step == 0) fail("range: expected a step other than 0");
  Items items;
  for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (items.size() >= kMaxRange) fail("range: more than ", kMaxRange, " items");
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  const std::string tail = bound.has(2) && step != 1 ? cat(", ", step) : "";
  return make_sequence(Sequence::Type::range, std::move(items), cat("range(", start, ", ", stop, tail, ")"));
}

Value dict_function(Evaluator&, const Value&, const Arguments& arguments) {
  Dict dict;
  if (arguments.positional.size() > 1) fail("dict: expected at most one argument without a name");
  for (const Value& initial : arguments.positional) {
    if (const Dict* other = initial.dict()) {
      dict = *other;
      continue;
    }
    const auto pairs = iterate(initial);
    for (const Value& pair : pairs->items) {
      const auto items = iterate(pair);
      if (items->items.size() != 2) fail("dict: expected pairs of key and value");
      dict.set(items->items[0], items->items[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) dict.set(name, value);
  return make_dict(std::move(dict));
}

Value namespace_function(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  return evaluator.make_namespace(arguments);
}

Value raise_exception(Evaluator&, const Value&, const Arguments& arguments) {
  const Bound bound("raise_exception", arguments, {"message"}, 1);
  fail("the template refuses this chat: ", to_text(bound[0]));
}

Value strftime_now(Evaluator& evaluator, const Value&, const Arguments& arguments) {
  const std::string format = Bound("strftime_now", arguments, {"format"}, 1).text(0, "");
  const std::time_t now = std::chrono::system_clock::to_time_t(evaluator.now());
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 1024> buffer{};
  // A space in front tells an empty result from one that does not fit.
  const size_t length = std::strftime(buffer.data(), buffer.size(), cat(" ", format).c_str(), &local);
  if (length == 0) fail("strftime_now: the result is longer than ", buffer.size(), " bytes");
  const std::string text(buffer.data() + 1, length - 1);
  if (!is_valid_utf8(text)) fail("strftime_now: the locale's names are not UTF-8");
  return text;
}

}  // namespace

Function find_function(std::string_view name) {
  static const FunctionTable kFunctions = {{"range", range_function},
                                           {"dict", dict_function},
                                           {"namespace", namespace_function},
                                           {"raise_exception", raise_exception},
                                           {"strftime_now", strftime_now}};
  if (const auto found = kFunctions.find(name); found != kFunctions.end()) return found->second;
  for (const char* known : {"cycler", "joiner", "lipsum"}) {
    if (name == known) fail("the function ", name, " is not supported");
  }
  return nullptr;
}

Function find_filter(std::string_view name) {
  for (const FunctionTable* table : {&text_filters(), &number_filters(), &sequence_filters()}) {
    if (const auto found = table->find(name); found != table->end()) return found->second;
  }
  for (const char* known : {"filesizeformat", "groupby", "pprint", "random", "striptags", "truncate",
                            "urlencode", "urlize", "wordcount", "wordwrap", "xmlattr"}) {
    if (name == known) fail("the filter \"", name, "\" is not supported");
  }
  return nullptr;
}

Bound::Bound(std::string_view what, const Arguments& arguments, std::initializer_list<std::string_view> names,
             size_t required)
    : what_(what), names_(names) {
  if (arguments.positional.size() > names_.size()) {
    fail(what, ": expected at most ", names_.size(), " arguments, found ", arguments.positional.size());
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) values_[i] = &arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end()) fail(what, ": there is no argument \"", name, "\"");
    const auto i = static_cast<size_t>(found - names_.begin());
    if (values_[i] != nullptr) fail(what, ": argument \"", name, "\" is given twice");
    values_[i] = &value;
  }
  for (size_t i = 0; i < required; ++i) {
    if (values_[i] == nullptr) fail(what, ": argument \"", names_[i], "\" is missing");
  }
}

const Value& Bound::operator[](size_t i) const {
  static const Value kUndefined;
  return values_[i] == nullptr ? kUndefined : *values_[i];
}

void Bound::complain(size_t i, std::string_view expected) const {
  values_[i]->require_defined();
  fail(what_, ": argument \"", names_[i], "\": expected ", expected, ", found ", values_[i]->type_name());
}

std::string Bound::text(size_t i, std::string_view fallback) const {
  if (!has(i)) return std::string(fallback);
  if (!values_[i]->is_text()) complain(i, "a text");
  return values_[i]->text();
}

int64_t Bound::integer(size_t i, int64_t fallback) const {
  if (!has(i)) return fallback;
  if (!values_[i]->is_integral()) complain(i, "an integer");
  return values_[i]->integer();
}

bool Bound::boolean(size_t i, bool fallback) const {
  return has(i) ? is_true(*values_[i]) : fallback;
}

}  // namespace rotor::text::jinja
