// Python's rules on truth, equality, order and iteration.
#include "rotor/text/jinja/value.h"

#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "rotor/text/jinja/callable.h"
#include "rotor/text/jinja/python_text.h"

namespace rotor::text::jinja {
namespace {

/// What takes part in equality and order of numbers.
template <class Compare>
auto with_numbers(const Value& a, const Value& b, Compare compare) {
  return a.is_integral() && b.is_integral() ? compare(a.integer(), b.integer())
                                            : compare(a.number(), b.number());
}

/// The index's text of a key: equal keys have equal texts. "" for values that are no keys.
std::string key_of(const Value& key) {
  if (key.is_text()) return cat("t", key.text());
  if (key.is_none()) return "n";
  if (key.is_integral()) return cat("i", key.integer());
  if (!key.is_real()) return "";
  const double number = key.number();
  const bool is_whole = std::abs(number) < 9e18 && number == std::floor(number);
  return is_whole ? cat("i", static_cast<int64_t>(number)) : cat("f", float_text(number));
}

void check_size(int depth, size_t weight) {
  if (depth > kMaxValueDepth) fail("values are nested deeper than ", kMaxValueDepth, " levels");
  if (weight > kMaxWeight) fail("a value holds more than ", kMaxWeight, " items and bytes");
}

/// Its items in a list, for what has none of its own.
std::shared_ptr<const Sequence> as_list(Items items) {
  return make_list(std::move(items)).shared_sequence();
}

}  // namespace

Value::Value() = default;
Value::Value(const Value&) = default;
Value::Value(Value&&) noexcept = default;
Value& Value::operator=(const Value&) = default;
Value& Value::operator=(Value&&) noexcept = default;
Value::~Value() = default;

Value::Value(std::string text, bool is_safe) {
  if (text.size() > kMaxTextBytes) fail("a text gets longer than ", kMaxTextBytes, " bytes");
  data_ = std::make_shared<const Text>(Text{std::move(text), is_safe});
}

Value Value::undefined(std::string why) {
  Value value;
  value.data_ = Undefined{std::make_shared<const std::string>(std::move(why))};
  return value;
}

int Value::depth() const {
  if (sequence() != nullptr) return sequence()->depth;
  if (dict() != nullptr) return dict()->depth;
  if (callable() != nullptr) return callable()->self.depth() + 1;
  return 1;
}

size_t Value::weight() const {
  if (sequence() != nullptr) return sequence()->weight;
  if (dict() != nullptr) return dict()->weight;
  return is_text() ? text().size() + 1 : 1;
}

std::string Value::type_name() const {
  if (is_undefined()) return "Undefined";
  if (is_none()) return "NoneType";
  if (is_boolean()) return "bool";
  if (is_integral()) return "int";
  if (is_real()) return "float";
  if (is_text()) return is_safe() ? "Markup" : "str";
  if (dict() != nullptr) return "dict";
  if (name_space() != nullptr) return "Namespace";
  if (loop() != nullptr) return "LoopContext";
  if (sequence() == nullptr) return "function";
  switch (sequence()->type) {
    case Sequence::Type::list:
      return "list";
    case Sequence::Type::tuple:
      return "tuple";
    case Sequence::Type::range:
      return "range";
    case Sequence::Type::view:
      return sequence()->label;
    case Sequence::Type::generator:
      return "generator";
  }
  return "";
}

void Value::require_defined() const {
  if (!is_undefined()) return;
  const auto& why = std::get<Undefined>(data_).why;
  fail(why == nullptr ? "a value is undefined" : *why);
}

bool Value::is_same(const Value& other) const {
  if (data_.index() != other.data_.index() || is_undefined()) return false;
  return std::visit(
      [&](const auto& a) {
        using Type = std::decay_t<decltype(a)>;
        if constexpr (std::is_same_v<Type, Undefined>) {
          return false;
        } else {
          return a == std::get<Type>(other.data_);
        }
      },
      data_);
}

Value make_sequence(Sequence::Type type, Items items, std::string label) {
  if (items.size() > kMaxItems)
    fail("a list of ", items.size(), " items is made; at most ", kMaxItems, " are allowed");
  auto sequence = std::make_shared<Sequence>(Sequence{type, std::move(items), std::move(label)});
  for (const Value& item : sequence->items) {
    sequence->depth = std::max(sequence->depth, item.depth() + 1);
    sequence->weight += item.weight();
  }
  check_size(sequence->depth, sequence->weight);
  return std::shared_ptr<const Sequence>(std::move(sequence));
}

void Dict::set(const Value& key, const Value& value) {
  const std::string name = key_of(key);
  if (name.empty()) fail("a value of type ", key.type_name(), " is no key of a dict");
  const auto [place, is_new] = index.try_emplace(name, entries.size());
  if (is_new) {
    entries.emplace_back(key, value);
  } else {
    entries[place->second].second = value;
  }
}

const Value* Dict::find(const Value& key) const {
  const auto place = index.find(key_of(key));
  return place == index.end() ? nullptr : &entries[place->second].second;
}

Value make_dict(Dict dict) {
  auto shared = std::make_shared<Dict>(std::move(dict));
  for (const auto& [key, value] : shared->entries) {
    shared->depth = std::max(shared->depth, value.depth() + 1);
    shared->weight += key.weight() + value.weight();
  }
  check_size(shared->depth, shared->weight);
  return std::shared_ptr<const Dict>(std::move(shared));
}

bool is_true(const Value& value) {
  if (value.is_undefined() || value.is_none()) return false;
  if (value.is_real()) return value.number() != 0;
  if (value.is_integral()) return value.integer() != 0;
  if (value.is_text()) return !value.text().empty();
  if (const Sequence* sequence = value.sequence())
    return sequence->type == Sequence::Type::generator || !sequence->items.empty();
  if (const Dict* dict = value.dict()) return !dict->entries.empty();
  return true;
}

bool is_equal(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return with_numbers(a, b, [](auto x, auto y) { return x == y; });
  if (a.is_text() && b.is_text()) return a.text() == b.text();
  if (a.is_undefined()) return b.is_undefined();
  if (a.sequence() != nullptr && b.sequence() != nullptr && a.sequence()->type == b.sequence()->type &&
      a.sequence()->type < Sequence::Type::view) {
    return std::ranges::equal(a.sequence()->items, b.sequence()->items, is_equal);
  }
  if (a.dict() != nullptr && b.dict() != nullptr) {
    if (a.dict()->entries.size() != b.dict()->entries.size()) return false;
    return std::ranges::all_of(a.dict()->entries, [&](const auto& entry) {
      const Value* other = b.dict()->find(entry.first);
      return other != nullptr && is_equal(entry.second, *other);
    });
  }
  return a.is_same(b);
}

int compare(const Value& a, const Value& b) {
  a.require_defined();
  b.require_defined();
  const auto order = [](const auto& x, const auto& y) { return x < y ? -1 : x > y ? 1 : 0; };
  if (a.is_number() && b.is_number()) return with_numbers(a, b, order);
  if (a.is_text() && b.is_text()) return order(a.text(), b.text());
  if (a.sequence() != nullptr && b.sequence() != nullptr && a.sequence()->type == b.sequence()->type &&
      a.sequence()->type < Sequence::Type::range) {
    const Items& x = a.sequence()->items;
    const Items& y = b.sequence()->items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!is_equal(x[i], y[i])) return compare(x[i], y[i]);
    }
    return order(x.size(), y.size());
  }
  fail("values of types ", a.type_name(), " and ", b.type_name(), " have no order");
}

std::shared_ptr<const Sequence> iterate(const Value& value) {
  if (const Sequence* sequence = value.sequence()) {
    if (sequence->type != Sequence::Type::generator) return value.shared_sequence();
    if (sequence->is_drained) return as_list({});
    sequence->is_drained = true;
    return value.shared_sequence();
  }
  Items items;
  if (value.is_text()) {
    if (value.text().size() > 4 * kMaxItems) fail("a text of ", value.text().size(), " bytes is iterated");
    for (const auto character : split_characters(value.text())) items.emplace_back(character);
  } else if (const Dict* dict = value.dict()) {
    for (const auto& [key, entry] : dict->entries) items.push_back(key);
  } else if (!value.is_undefined()) {
    fail("a value of type ", value.type_name(), " cannot be iterated");
  }
  return as_list(std::move(items));
}

}  // namespace rotor::text::jinja
