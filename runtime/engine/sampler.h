// Chooses the next token from a model's logits. One sampler serves one text at a time: it remembers the last
// tokens and its random state. The same options and logits give the same tokens on every machine.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/text/tokenizer.h"
#include "runtime/backends/backend.h"
#include "runtime/engine/penalties.h"

namespace rotor::runtime {

/// Names, defaults and meaning as llama.cpp's flags. The stages come in the order of its default chain; l are
/// the logits, p = softmax(l) over the tokens that are left:
///
/// - bias: l[id] += logit_bias[id]; -inf bans a token.
/// - penalties: see penalties.h.
/// - top-k: keeps the k largest.
/// - typical: keeps the tokens whose -log p is closest to the entropy, until their p sum to above typical_p
///   (Meister et al. 2022, arXiv:2202.00666).
/// - top-p: keeps the largest, until their p sum to top_p (Holtzman et al. 2019, arXiv:1904.09751).
/// - min-p: keeps those whose p is at least min_p times the largest p (Nguyen et al. 2024, arXiv:2407.01082).
/// - temperature: draws a token from softmax(l / temperature).
///
/// Of equal logits the lower id comes first. Temperature 0 takes the largest logit behind the penalties: what
/// the stages between would keep does not matter then.
struct SamplerOptions {
  double temperature = 0.8;        ///< 0: greedy
  int64_t top_k = 40;              ///< 0: off
  double top_p = 0.95;             ///< 1: off
  double min_p = 0.05;             ///< 0: off
  double typical_p = 1.0;          ///< 1: off
  double repeat_penalty = 1.0;     ///< 1: off
  int64_t repeat_last_n = 64;      ///< of all penalties: how many tokens count; 0: none, -1: all
  double frequency_penalty = 0.0;  ///< 0: off
  double presence_penalty = 0.0;   ///< 0: off
  uint64_t seed = 0;
  std::map<text::TokenId, float> logit_bias;

  /// Throws Error naming the field, what is expected and what was found.
  void validate(int64_t vocab_size) const;
};

/// A token that may be drawn.
struct Candidate {
  text::TokenId id;
  float logit;         ///< behind bias and penalties
  double probability;  ///< of being drawn
};

/// A constraint that cannot be kept on this text: a token costs too much work, the vocabulary lacks the
/// bytes. It is the text's own fault, unlike other errors while sampling.
class ConstraintError : public Error {
 public:
  using Error::Error;
};

/// What a text may go on with, token by token: a grammar, say. One object serves one text.
/// All functions may throw ConstraintError; the text cannot be gone on with then.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  /// Whether this token may come next.
  virtual bool allows(text::TokenId id) = 0;
  /// Sets the logits of all tokens to -inf that may not come next; `logits`: [vocab_size].
  virtual void restrict(std::span<float> logits) = 0;
  /// The token that came, which was allowed.
  virtual void accept(text::TokenId id) = 0;
};

class Sampler {
 public:
  /// Ids are 0 to vocab_size - 1. Throws Error as SamplerOptions::validate does.
  Sampler(SamplerOptions options, int64_t vocab_size);

  const SamplerOptions& options() const { return options_; }
  int64_t vocab_size() const { return vocab_size_; }

  /// From now on, only tokens that it allows are drawn: bias and penalties come first, then all others get
  /// -inf, then come the stages. nullptr: no constraint.
  void set_constraint(std::shared_ptr<TokenConstraint> constraint) { constraint_ = std::move(constraint); }

  /// The logits that the next sample() must be given; any other one may be -inf instead, and the same token
  /// is drawn. Valid until the next call of accept(). All of them if there is a constraint.
  WantedLogits wanted();

  /// The next token. `logits`: [vocab_size]; -inf is a token that cannot be. Throws Error if one is NaN or
  /// +inf, or if every token is banned, or every one that the constraint allows.
  text::TokenId sample(std::span<const float> logits);

  /// The tokens that sample() draws from, with probabilities that sum to 1, in the order in which the stages
  /// left them. Draws nothing. Valid until the next call.
  std::span<const Candidate> candidates(std::span<const float> logits);

  /// Appends a token of the prompt to the text that penalties look at.
  void accept_prompt(text::TokenId id);
  /// Appends a drawn token to that text, and tells the constraint.
  void accept(text::TokenId id);

 private:
  /// Lets the stages choose among adjusted_.
  std::span<const Candidate> choose();
  text::TokenId draw(std::span<const Candidate> candidates);
  bool keeps_all() const;
  void restrict();
  void adjust(std::span<const float> logits);
  void keep_all();
  void keep_top_k(size_t count);
  void keep_typical();
  void keep_top_p();
  void keep_min_p();
  void set_probabilities();
  double uniform();

  SamplerOptions options_;
  int64_t vocab_size_;
  Penalties penalties_;
  std::mt19937_64 random_;
  std::shared_ptr<TokenConstraint> constraint_;
  std::vector<float> adjusted_;         // [vocab_size]: logits behind bias and penalties
  std::vector<Candidate> candidates_;   // what is left
  std::vector<text::TokenId> changed_;  // tokens whose logits bias and penalties change
};

}  // namespace rotor::runtime
