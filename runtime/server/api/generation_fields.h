// The fields that chat and plain completions share: how tokens are drawn, how many texts there are to be,
// what ends them, and how they are sent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/server/api/api_context.h"

namespace rotor::runtime::server {

/// What a text must be.
struct Constraint {
  enum class Kind { none, json_object, json_schema, gbnf };
  Kind kind = Kind::none;
  OrderedJson schema;
  std::string grammar;
  std::string param;  ///< the field that asks for it
};

struct GenerationFields {
  ModelChoice model;
  SamplerOptions sampling;
  int64_t n = 1;
  int64_t max_new_tokens = -1;
  std::vector<std::string> stop_strings;
  std::vector<text::TokenId> stop_tokens;
  bool stream = false;
  bool include_usage = false;
  Constraint constraint;
};

/// Reads them; `default_max_tokens`: where a request names no number. Throws ApiError 400.
GenerationFields read_generation(Fields& fields, const ApiContext& context, int64_t default_max_tokens);

/// For all texts of a request, once. Throws ApiError 400 for a grammar or a schema that is wrong.
ConstraintMaker compile_constraint(const Constraint& constraint, const ApiContext& context);

/// A text of its own for `prompt`, number `index` of those of the request.
BatchRequest make_request(const GenerationFields& fields, const ConstraintMaker& constraint,
                          const ApiContext& context, std::vector<text::TokenId> prompt, int64_t index);

}  // namespace rotor::runtime::server
