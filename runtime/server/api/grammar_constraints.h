// What requests ask a text to be held to: JSON, a schema, a grammar (runtime/grammar).
#pragma once

#include <memory>

#include "runtime/engine/language_model.h"
#include "runtime/server/api/api_options.h"

namespace rotor::runtime::server {

/// For texts of this model; nullptr if it has no tokenizer or no token that ends a text.
std::shared_ptr<const ConstraintFactory> grammar_constraints(const LanguageModel& model);

}  // namespace rotor::runtime::server
