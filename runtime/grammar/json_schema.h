// JSON schemas as grammars: every text of the grammar is JSON that the schema allows. Members come in the
// schema's order; docs/structured-output.md says what is taken, and what is refused since no grammar can keep
// it.
#pragma once

#include <memory>
#include <string>

#include "rotor/formats/ordered_json.h"
#include "runtime/grammar/grammar.h"

namespace rotor::runtime::grammar {

/// How deep objects and arrays may stand in one another, about: what JSON readers take.
inline constexpr uint32_t kJsonDepth = 60;

/// What stands around the JSON.
struct JsonSurroundings {
  std::string before;
  std::string after;
};

/// Throws Error naming `source`, the JSON pointer of a keyword, what is expected and what was found: for a
/// schema that is broken, that cannot be kept exactly, or that no value obeys.
std::shared_ptr<const Grammar> compile_json_schema(const OrderedJson& schema, const std::string& source,
                                                   const JsonSurroundings& around = {});

/// Any JSON object.
std::shared_ptr<const Grammar> any_json_object();

}  // namespace rotor::runtime::grammar
