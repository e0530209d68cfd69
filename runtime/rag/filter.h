// What a search or a list is narrowed to: conditions on documents' metadata, all of which hold.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rotor/formats/json.h"

namespace rotor::runtime::rag {

struct Condition {
  enum class Relation { equal, not_equal, less, at_most, greater, at_least, begins_with };
  std::string field;  ///< of the metadata; "id", "source" and "title" are the document's own
  Relation relation = Relation::equal;
  std::string value;
};

using Filter = std::vector<Condition>;

/// "year>=2020", "tag=draft", "source^=notes/"; relations: = != < <= > >= ^= (begins with). Throws Error.
Condition parse_condition(std::string_view text);

/// One value of a field: what it is compared as. Numbers are compared as numbers, everything else byte by
/// byte.
struct FieldValue {
  std::string field;
  std::string text;
  std::optional<double> number;
};

/// The document's own fields and those of its metadata, of arrays one for each element. Throws Error for
/// metadata that are no flat object.
std::vector<FieldValue> field_values(const std::string& id, const std::string& source,
                                     const std::string& title, const Json& metadata);

/// "2020" and "1e3" are numbers, "2020-01-01" and "" are none.
std::optional<double> as_number(const std::string& text);

}  // namespace rotor::runtime::rag
