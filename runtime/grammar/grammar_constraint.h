// Keeps a text within a grammar, token by token. It works on bytes: a token may go across the borders of
// rules and hold part of a character. Whatever is drawn, the grammar can still be finished by it, if the
// vocabulary has the bytes that it asks for.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "runtime/engine/sampler.h"
#include "runtime/grammar/grammar.h"
#include "runtime/grammar/stack_sets.h"
#include "runtime/grammar/token_trie.h"

namespace rotor::runtime::grammar {

class GrammarConstraint : public TokenConstraint {
 public:
  /// `stop_tokens` may come exactly where the text is whole; where nothing else can come they are all that
  /// may. All of it is bounded work, a token and the text; beyond it, allows(), restrict() and accept() throw
  /// ConstraintError. Throws Error if none of them is in the vocabulary: nothing could end the text.
  GrammarConstraint(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> trie,
                    const std::vector<text::TokenId>& stop_tokens);

  bool allows(text::TokenId id) override;
  /// Throws ConstraintError if no token may come, since the vocabulary lacks the bytes that could.
  void restrict(std::span<float> logits) override;
  /// Throws Error if the token is not allowed.
  void accept(text::TokenId id) override;

  /// Whether the text may end here.
  bool complete() const { return sets_.complete(state_); }
  /// What it took so far, in positions looked at.
  uint64_t work() const { return sets_.work(); }
  /// Memory that this takes, about; it is bounded.
  size_t num_bytes() const;

 private:
  using Mask = std::vector<uint64_t>;  // a bit a token
  bool is_stop(text::TokenId id) const;
  StackSets::Set behind(text::TokenId id);
  void limit_work();
  Mask compute_mask();
  const Mask& mask();

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> trie_;
  std::vector<text::TokenId> stop_tokens_;
  StackSets sets_;
  StackSets::Set state_;
  uint64_t text_work_;  // that the text may have taken by now
  std::unordered_map<StackSets::Set, Mask> masks_;
};

}  // namespace rotor::runtime::grammar
