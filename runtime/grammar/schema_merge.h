// JSON schemas that say several things at once: $ref, allOf, anyOf and oneOf become a list of plain schemas,
// one of which a value must obey. What cannot be said that way is refused, never dropped.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "runtime/grammar/work_budget.h"

namespace rotor::runtime::grammar {

class SchemaMerger {
 public:
  /// `source` names the schema in errors; `root` and `budget`, which all functions spend from and which
  /// makes them throw Error, must outlive this object.
  SchemaMerger(const OrderedJson& root, std::string source, WorkBudget& budget)
      : root_(root), source_(std::move(source)), budget_(budget) {}

  /// A schema that is an object without $ref, allOf, anyOf and oneOf, and without what says nothing of
  /// values; its keywords have values of the right kind. {} allows everything.
  using Plain = OrderedJson;

  /// Any value that `schema` allows is allowed by one of the results. Throws Error naming source, the JSON
  /// pointer of the keyword, what is expected and what was found.
  std::vector<Plain> plain(const OrderedJson& schema, const std::string& pointer);

  const OrderedJson& root() const { return root_; }
  /// Whether a keyword is for people: title, description, ...
  static bool says_nothing(const std::string& keyword);
  /// The schema that a $ref means, which must begin with #.
  const OrderedJson& resolve(const std::string& ref, const std::string& pointer) const;
  /// Names source, pointer and keyword.
  [[noreturn]] void refuse(const std::string& pointer, const std::string& expected,
                           const OrderedJson& found) const;

  /// Types that values of a plain schema may have; with `inferred`, those that its keywords speak of where
  /// `type` is missing. "integer" is not among them beside "number".
  static std::set<std::string> types(const Plain& schema, bool inferred);
  /// What all of both say.
  OrderedJson all_of(const OrderedJson& a, const OrderedJson& b) const;
  /// Of the items of an array, or of the members of an object.
  static OrderedJson item_schema(const Plain& schema, size_t index);
  static OrderedJson member_schema(const Plain& schema, const std::string& key);

 private:
  Plain checked(const OrderedJson& schema, const std::string& pointer) const;
  void check_keyword(const std::string& key, const OrderedJson& value, const std::string& pointer) const;
  std::vector<Plain> product(const std::vector<Plain>& a, const std::vector<Plain>& b,
                             const std::string& pointer) const;
  std::vector<Plain> one_of(const OrderedJson& branches, const std::string& pointer);
  bool disjoint(const Plain& a, const Plain& b, const std::string& pointer);
  bool disjoint_members(const Plain& a, const Plain& b, const std::string& pointer);
  bool requires_what_is_forbidden(const Plain& a, const Plain& b) const;
  OrderedJson merged(const Plain& a, const Plain& b, const std::string& pointer) const;
  OrderedJson merged_keyword(const std::string& key, const OrderedJson& a, const OrderedJson& b,
                             const std::string& pointer) const;

  const OrderedJson& root_;
  std::string source_;
  WorkBudget& budget_;
  std::vector<std::string> open_refs_;
  int depth_ = 0;
  int disjoint_depth_ = 0;
};

/// What it costs to walk, copy or compare it, in bytes, about.
uint64_t weight_of(const OrderedJson& json);

/// An object of a schema may have so many members, since finding one takes a search through all.
inline constexpr size_t kMaxMembers = 2000;

/// `pointer`, one key deeper (RFC 6901).
std::string deeper(const std::string& pointer, const std::string& key);

}  // namespace rotor::runtime::grammar
