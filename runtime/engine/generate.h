// The loop of generation: a prompt goes in, tokens are drawn and fed back until something ends the text. What
// draws is runtime/engine/sampler.h, what computes is a Session.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rotor/text/tokenizer.h"
#include "runtime/engine/sampler.h"

namespace rotor::runtime {

/// What the loop needs of a Session; a test has its own.
struct TokenFeed {
  /// Takes tokens, at least one, and returns the logits behind the last of them, valid until the next call;
  /// those that are not wanted may be -inf.
  std::function<std::span<const float>(std::span<const text::TokenId>, const WantedLogits&)> feed;
  int64_t room = 0;  ///< how many tokens it takes in all, those of `cached` included
};

enum class StopReason {
  stop_token,   ///< the model ended the text
  stop_string,  ///< one of the stop strings came
  length,       ///< max_new_tokens are there
  context,      ///< no more tokens fit
  interrupted,  ///< a callback returned false, or whoever asked gave it up
  time_limit    ///< of a Batcher's request
};

/// "stop_token", ...
const char* name(StopReason reason);

struct GenerateOptions {
  int64_t max_new_tokens = -1;             ///< -1: no limit but the context
  std::vector<text::TokenId> stop_tokens;  ///< end the text and are no part of it
  std::vector<std::string> stop_strings;   ///< likewise; they need a tokenizer
  /// Text stands before the new one: SentencePiece then keeps a space at its beginning.
  bool continues_text = true;
  int64_t prompt_batch = 128;  ///< tokens of the prompt between two calls of on_prompt
  bool entropy = false;        ///< how sure the model is of each token (GenerateResult::entropy)
  int64_t cached = 0;  ///< so many tokens at the beginning of the prompt were fed before; fewer than all

  // Callbacks, each of which may be empty; false ends the generation.
  std::function<bool(int64_t done)>
      on_prompt;  ///< so many tokens of the prompt are computed, cached ones too
  std::function<bool(text::TokenId id)> on_token;      ///< for each new token
  std::function<bool(std::string_view text)> on_text;  ///< for each piece of text: whole UTF-8 characters
};

struct GenerateResult {
  std::vector<text::TokenId> ids;  ///< the new tokens, those of a stop string included, a stop token not
  std::string text;                ///< all that on_text got; empty without a tokenizer
  StopReason stop_reason = StopReason::length;
  int64_t prompt_tokens = 0;   ///< of the prompt, as far as computed here
  int64_t decoded_tokens = 0;  ///< new tokens that were fed back: usually all but the last
  /// If it was asked for and a token was drawn: the mean entropy, in nats, of what the model thought of each
  /// token, that which ended the text too, before penalties and temperature.
  std::optional<double> entropy;
  double prompt_seconds = 0.0;
  double decode_seconds = 0.0;

  double prompt_tokens_per_second() const;
  double decode_tokens_per_second() const;
};

/// Feeds `prompt`, at least one token, and generates. `sampler` sees the prompt too, for its penalties; where
/// its vocabulary is smaller than the model's, the ids behind it are never drawn. `tokenizer` may be nullptr:
/// then there are ids alone. Throws Error if the prompt has more tokens than there is room, saying both
/// numbers, or if an id is out of the sampler's range.
GenerateResult generate(const TokenFeed& model, std::span<const text::TokenId> prompt, Sampler& sampler,
                        const text::Tokenizer* tokenizer, const GenerateOptions& options);

}  // namespace rotor::runtime
