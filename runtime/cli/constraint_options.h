// --grammar and --json-schema: what an answer must be.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"
#include "runtime/engine/sampler.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/token_trie.h"

namespace rotor::runtime::cli {

void add_constraint_options(cxxopts::Options& options);

/// A grammar and the vocabulary that it is to be spelled in.
class ConstraintOptions {
 public:
  /// Throws Error naming the flag, or file, place, expected and found.
  ConstraintOptions(const cxxopts::ParseResult& parsed, const LanguageModel& model);

  /// For one text; nullptr if neither flag was given.
  std::shared_ptr<TokenConstraint> make() const;

 private:
  std::shared_ptr<const grammar::Grammar> grammar_;
  std::shared_ptr<const grammar::TokenTrie> trie_;
  std::vector<text::TokenId> stop_tokens_;
};

}  // namespace rotor::runtime::cli
