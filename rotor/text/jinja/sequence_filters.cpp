// Filters over lists, dicts and other things that can be iterated. Those that are generators in Jinja2 give
// generators here, too, but are worked out at once.
#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/evaluator.h"
#include "rotor/text/jinja/operators.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// What sorting and its kin compare: texts without regard to case, unless asked for.
Value comparison_key(Evaluator& evaluator, const Value& item, const Value& path, bool case_sensitive) {
  Value key = path.is_undefined() || path.is_none() ? item : evaluator.attribute_path(item, path);
  evaluator.charge(key.weight());
  return key.is_text() && !case_sensitive ? Value(to_lower(key.text())) : key;
}

Value length(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("length", arguments, {});
  if (self.is_undefined()) return 0;
  if (self.is_text()) return count_characters(self.text());
  if (self.dict() != nullptr) return self.dict()->entries.size();
  if (self.loop() != nullptr) return self.loop()->items->items.size();
  if (self.sequence() == nullptr || self.sequence()->type == Sequence::Type::generator)
    fail("a value of type ", self.type_name(), " has no length");
  return self.sequence()->items.size();
}

Value first(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("first", arguments, {});
  const auto items = iterate(self);
  return items->items.empty() ? Value::undefined("there is no first item: the sequence is empty")
                              : items->items.front();
}

Value last(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("last", arguments, {});
  if (self.sequence() != nullptr && self.sequence()->type == Sequence::Type::generator)
    fail("last: a generator cannot be read from its end");
  const auto items = iterate(self);
  return items->items.empty() ? Value::undefined("there is no last item: the sequence is empty")
                              : items->items.back();
}

Value list(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("list", arguments, {});
  return make_list(iterate(self)->items);
}

Value items_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("items", arguments, {});
  Items pairs;
  if (self.dict() == nullptr && !self.is_undefined())
    fail("items: expected a dict, found ", self.type_name());
  if (self.dict() != nullptr) {
    for (const auto& [key, value] : self.dict()->entries) pairs.push_back(make_tuple({key, value}));
  }
  return make_generator(std::move(pairs));
}

/// Sorts `items` by their keys, which stand beside them.
Items sort_by(std::vector<std::pair<Items, Value>> keyed, bool reverse) {
  std::ranges::stable_sort(keyed, [&](const auto& a, const auto& b) {
    const auto& [x, y] = reverse ? std::tie(b.first, a.first) : std::tie(a.first, b.first);
    for (size_t i = 0; i < x.size(); ++i) {
      if (!is_equal(x[i], y[i])) return compare(x[i], y[i]) < 0;
    }
    return false;
  });
  Items items;
  for (auto& [key, item] : keyed) items.push_back(std::move(item));
  return items;
}

Value dictsort(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.text(1, "key");
  if (by != "key" && by != "value") fail("dictsort: by: expected key or value, found ", quote(by));
  self.require_defined();
  if (self.dict() == nullptr) fail("dictsort: expected a dict, found ", self.type_name());
  std::vector<std::pair<Items, Value>> keyed;
  for (const auto& [key, value] : self.dict()->entries) {
    keyed.emplace_back(
        Items{comparison_key(evaluator, by == "key" ? key : value, {}, bound.boolean(0, false))},
        make_tuple({key, value}));
  }
  return make_list(sort_by(std::move(keyed), bound.boolean(2, false)));
}

Value sort(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths = {bound[2]};
  if (bound[2].is_text()) {
    paths.clear();
    for (const std::string& path : split(bound[2].text(), ",", -1)) paths.emplace_back(path);
  }
  std::vector<std::pair<Items, Value>> keyed;
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    Items keys;
    for (const Value& path : paths)
      keys.push_back(comparison_key(evaluator, item, path, bound.boolean(1, false)));
    keyed.emplace_back(std::move(keys), item);
  }
  return make_list(sort_by(std::move(keyed), bound.boolean(0, false)));
}

Value unique(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  Items items;
  Dict seen;
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    const Value key = comparison_key(evaluator, item, bound[1], bound.boolean(0, false));
    if (seen.find(key) != nullptr) continue;
    seen.set(key, nullptr);
    items.push_back(item);
  }
  return make_generator(std::move(items));
}

/// The item with the least key (sign -1) or the largest (1).
Value extreme(Evaluator& evaluator, const Value& self, const Arguments& arguments, int sign) {
  const Bound bound(sign < 0 ? "min" : "max", arguments, {"case_sensitive", "attribute"});
  Value best = Value::undefined("there is no least or largest item: the sequence is empty");
  Value best_key;
  bool is_first = true;
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    const Value key = comparison_key(evaluator, item, bound[1], bound.boolean(0, false));
    if (!std::exchange(is_first, false) && compare(key, best_key) * sign <= 0) continue;
    best = item;
    best_key = key;
  }
  return best;
}

Value min(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return extreme(evaluator, self, arguments, -1);
}
Value max(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  return extreme(evaluator, self, arguments, 1);
}

Value sum(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  Value total = bound.has(1) ? bound[1] : Value(0);
  if (total.is_text()) fail("sum: texts are joined by the filter join");
  const bool has_path = bound.has(0) && !bound[0].is_none();
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    total = calculate("+", total, has_path ? evaluator.attribute_path(item, bound[0]) : item);
    evaluator.charge(total.weight());
  }
  return total;
}

Value reverse(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound none("reverse", arguments, {});
  if (self.is_text()) return slice(self, nullptr, nullptr, -1);
  Items items = iterate(self)->items;
  std::ranges::reverse(items);
  // What can be read from its end gives an iterator, other things a list.
  const bool is_list = self.sequence() != nullptr && self.sequence()->type == Sequence::Type::generator;
  return is_list ? make_list(std::move(items)) : make_generator(std::move(items));
}

Value map(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  if (!is_true(self)) return make_generator({});
  Items items;
  if (arguments.positional.empty()) {
    const Bound bound("map", arguments, {"attribute", "default"}, 1);
    const auto source = iterate(self);
    for (const Value& item : source->items)
      items.push_back(evaluator.attribute_path(item, bound[0], bound[1]));
    return make_generator(std::move(items));
  }
  if (!arguments.positional[0].is_text()) fail("map: expected the name of a filter");
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  const auto source = iterate(self);
  for (const Value& item : source->items)
    items.push_back(evaluator.call_filter(arguments.positional[0].text(), item, rest));
  return make_generator(std::move(items));
}

/// The items that pass (or, unless `wanted`, do not) a test, or are true; `by_attribute`: an attribute of
/// theirs does.
template <bool wanted, bool by_attribute>
Value choose(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  if (!is_true(self)) return make_generator({});
  constexpr size_t kTest = by_attribute ? 1 : 0;
  if (arguments.positional.size() < kTest) fail("expected the name of an attribute");
  Arguments rest = arguments;
  const bool has_test = arguments.positional.size() > kTest;
  rest.positional.erase(rest.positional.begin(), rest.positional.begin() + (has_test ? kTest + 1 : kTest));
  const Value test = has_test ? arguments.positional[kTest] : Value("");
  if (!test.is_text()) fail("expected the name of a test, found ", test.type_name());
  Items items;
  const auto source = iterate(self);
  for (const Value& item : source->items) {
    evaluator.charge(64);
    const Value value = by_attribute ? evaluator.attribute_path(item, arguments.positional[0]) : item;
    const bool passes = has_test ? run_test(evaluator, test.text(), value, rest) : is_true(value);
    if (passes == wanted) items.push_back(item);
  }
  return make_generator(std::move(items));
}

Value batch(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = bound.integer(0, 1);
  if (size < 1 || size > static_cast<int64_t>(kMaxItems)) fail("batch: linecount: found ", size);
  Items batches;
  const auto source = iterate(self);
  for (size_t begin = 0; begin < source->items.size(); begin += static_cast<size_t>(size)) {
    const size_t end = std::min(begin + static_cast<size_t>(size), source->items.size());
    Items items(source->items.begin() + static_cast<std::ptrdiff_t>(begin),
                source->items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound.has(1) && !bound[1].is_none()) items.resize(static_cast<size_t>(size), bound[1]);
    batches.push_back(make_list(std::move(items)));
  }
  return make_generator(std::move(batches));
}

Value slice_filter(Evaluator&, const Value& self, const Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const int64_t count = bound.integer(0, 1);
  if (count < 1 || count > static_cast<int64_t>(kMaxItems)) fail("slice: slices: found ", count);
  const auto source = iterate(self);
  const auto slices = static_cast<size_t>(count);
  const size_t least = source->items.size() / slices;
  const size_t longer = source->items.size() % slices;
  Items result;
  for (size_t i = 0, begin = 0; i < slices; ++i) {
    const size_t size = least + (i < longer ? 1 : 0);
    const auto at = source->items.begin() + static_cast<std::ptrdiff_t>(begin);
    Items items(at, at + static_cast<std::ptrdiff_t>(size));
    if (bound.has(1) && !bound[1].is_none() && i >= longer) items.push_back(bound[1]);
    result.push_back(make_list(std::move(items)));
    begin += size;
  }
  return make_generator(std::move(result));
}

Value attr(Evaluator& evaluator, const Value& self, const Arguments& arguments) {
  const std::string name = Bound("attr", arguments, {"name"}, 1).text(0, "");
  self.require_defined();
  // Unlike a dot it takes no item of a dict.
  if (self.dict() != nullptr) return find_method(self, name).value_or(Value());
  return evaluator.attribute(self, name);
}

}  // namespace

const FunctionTable& sequence_filters() {
  static const FunctionTable kFilters = {{"length", length},
                                         {"count", length},
                                         {"first", first},
                                         {"last", last},
                                         {"list", list},
                                         {"items", items_filter},
                                         {"dictsort", dictsort},
                                         {"sort", sort},
                                         {"unique", unique},
                                         {"min", min},
                                         {"max", max},
                                         {"sum", sum},
                                         {"reverse", reverse},
                                         {"map", map},
                                         {"select", choose<true, false>},
                                         {"reject", choose<false, false>},
                                         {"selectattr", choose<true, true>},
                                         {"rejectattr", choose<false, true>},
                                         {"batch", batch},
                                         {"slice", slice_filter},
                                         {"attr", attr}};
  return kFilters;
}

}  // namespace rotor::text::jinja
