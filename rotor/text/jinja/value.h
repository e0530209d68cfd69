// A value of a template, with Python's meaning: templates are written for Python's Jinja2. Values are
// immutable but for namespaces, generators and loops, so copies share what they hold. They are bounded in
// depth and size, since templates come with models that nobody here trusts.
#pragma once

#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace rotor::text::jinja {

/// The longest text that a template may make, in bytes.
inline constexpr size_t kMaxTextBytes = 10'000'000;
/// The most items in a list that a template may make.
inline constexpr size_t kMaxItems = 250'000;
/// How deep values may hold one another.
inline constexpr int kMaxValueDepth = 100;
/// The most that a value may hold if all is written out: items, and bytes of texts.
inline constexpr size_t kMaxWeight = size_t{1} << 26;

struct Sequence;
struct Dict;
struct Namespace;
struct Callable;
struct Loop;

/// What a missing variable or attribute gives. It is false, prints nothing and has no items; most other uses
/// are errors.
struct Undefined {
  std::shared_ptr<const std::string> why;  ///< "'x' is undefined"; or none
};

struct Text {
  std::string bytes;     ///< valid UTF-8
  bool is_safe = false;  ///< went through the filters safe or escape: what is added to it is escaped for HTML
};

class Value {
 public:
  Value();  ///< undefined
  Value(std::nullptr_t) : data_(nullptr) {}
  template <std::same_as<bool> Boolean>
  Value(Boolean value) : data_(value) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool>) Value(Integer value) : data_(static_cast<int64_t>(value)) {}
  Value(double value) : data_(value) {}
  /// Throws Error if it is longer than kMaxTextBytes.
  Value(std::string text, bool is_safe = false);
  Value(std::string_view text) : Value(std::string(text)) {}
  Value(const char* text) : Value(std::string(text)) {}
  Value(std::shared_ptr<const Sequence> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Dict> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<Namespace> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Callable> value) : data_(std::move(value)) {}
  Value(std::shared_ptr<const Loop> value) : data_(std::move(value)) {}
  static Value undefined(std::string why);
  // Not inline: they are large.
  Value(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(const Value&);
  Value& operator=(Value&&) noexcept;
  ~Value();

  bool is_undefined() const { return is<Undefined>(); }
  bool is_none() const { return is<std::nullptr_t>(); }
  bool is_boolean() const { return is<bool>(); }
  bool is_text() const { return is<std::shared_ptr<const Text>>(); }
  bool is_safe() const { return is_text() && std::get<std::shared_ptr<const Text>>(data_)->is_safe; }
  bool is_real() const { return is<double>(); }
  /// An integer or a boolean, which is 0 or 1.
  bool is_integral() const { return is<int64_t>() || is_boolean(); }
  bool is_number() const { return is_integral() || is_real(); }

  /// Each of the right kind only.
  const std::string& text() const { return std::get<std::shared_ptr<const Text>>(data_)->bytes; }
  int64_t integer() const { return is_boolean() ? std::get<bool>(data_) : std::get<int64_t>(data_); }
  double number() const { return is_real() ? std::get<double>(data_) : static_cast<double>(integer()); }

  /// nullptr if the value is of another kind.
  const Sequence* sequence() const { return pointer<const Sequence>(); }
  const Dict* dict() const { return pointer<const Dict>(); }
  Namespace* name_space() const { return pointer<Namespace>(); }
  const Callable* callable() const { return pointer<const Callable>(); }
  const Loop* loop() const { return pointer<const Loop>(); }
  std::shared_ptr<const Sequence> shared_sequence() const {
    return std::get<std::shared_ptr<const Sequence>>(data_);
  }

  /// How deep and how large it is if it is written out; at least 1.
  int depth() const;
  size_t weight() const;
  /// As Python calls the type: "str", "NoneType".
  std::string type_name() const;
  /// Throws Error if the value is undefined, saying why it is.
  void require_defined() const;
  /// The same object, or equal numbers of the same type: what Python's `is` says.
  bool is_same(const Value& other) const;

 private:
  template <class Type>
  bool is() const {
    return std::holds_alternative<Type>(data_);
  }
  template <class Type>
  Type* pointer() const {
    const auto* shared = std::get_if<std::shared_ptr<Type>>(&data_);
    return shared == nullptr ? nullptr : shared->get();
  }

  std::variant<Undefined, std::nullptr_t, bool, int64_t, double, std::shared_ptr<const Text>,
               std::shared_ptr<const Sequence>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
               std::shared_ptr<const Callable>, std::shared_ptr<const Loop>>
      data_;
};

using Items = std::vector<Value>;

struct Sequence {
  enum class Type { list, tuple, range, view, generator };
  Type type;
  Items items;
  std::string label;                ///< of a view: "dict_keys"; of a range how it prints
  mutable bool is_drained = false;  ///< of a generator: its items were taken
  int depth = 1;
  size_t weight = 1;
};

/// Throw Error for more than kMaxItems, kMaxValueDepth or kMaxWeight.
Value make_sequence(Sequence::Type type, Items items, std::string label = "");
inline Value make_list(Items items) {
  return make_sequence(Sequence::Type::list, std::move(items));
}
inline Value make_tuple(Items items) {
  return make_sequence(Sequence::Type::tuple, std::move(items));
}
inline Value make_generator(Items items) {
  return make_sequence(Sequence::Type::generator, std::move(items));
}

/// Keys and values in the order in which the keys came. Keys are texts, numbers, booleans and none.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, size_t> index;  ///< of what key_of() makes of a key
  int depth = 1;
  size_t weight = 1;

  /// A later value of the same key takes the earlier one's place. Throws Error for a key of another kind.
  void set(const Value& key, const Value& value);
  /// nullptr if there is none, or the key is of another kind.
  const Value* find(const Value& key) const;
};

/// Throws Error as make_sequence().
Value make_dict(Dict dict);

struct Namespace {
  std::map<std::string, Value> attributes;
};

/// The variable `loop` of a loop.
struct Loop {
  std::shared_ptr<const Sequence> items;
  int64_t index = 0;  ///< from 0
};

/// Whether conditions take it as true.
bool is_true(const Value& value);
bool is_equal(const Value& a, const Value& b);
/// Less than 0, 0, or more: the order of a and b. Throws Error for kinds that have none.
int compare(const Value& a, const Value& b);
/// The items that a loop over it goes through; a generator gives them once. Throws Error if it has none.
std::shared_ptr<const Sequence> iterate(const Value& value);

}  // namespace rotor::text::jinja
