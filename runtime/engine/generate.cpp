// One object a generation, so that each step reads as a sentence.
#include "runtime/engine/generate.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/engine/generated_text.h"
#include "runtime/engine/log_probabilities.h"

namespace rotor::runtime {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double rate(int64_t count, double seconds) {
  return seconds > 0.0 ? static_cast<double>(count) / seconds : 0.0;
}

class Generation {
 public:
  Generation(const TokenFeed& model, Sampler& sampler, const text::Tokenizer* tokenizer,
             const GenerateOptions& options)
      : model_(model),
        sampler_(sampler),
        options_(options),
        text_(tokenizer, options.continues_text, options.stop_strings) {}

  GenerateResult run(std::span<const text::TokenId> prompt) {
    const auto prompt_start = Clock::now();
    const bool goes_on = feed_prompt(prompt);
    result_.prompt_seconds = seconds_since(prompt_start);
    const auto decode_start = Clock::now();
    result_.stop_reason = goes_on ? decode() : StopReason::interrupted;
    show(text_.finish());
    result_.decode_seconds = seconds_since(decode_start);
    return std::move(result_);
  }

 private:
  /// False if a callback wants an end.
  bool feed_prompt(std::span<const text::TokenId> prompt) {
    if (prompt.empty()) fail("prompt: expected at least one token, found none");
    const auto size = static_cast<int64_t>(prompt.size());
    if (size > model_.room) {
      fail("prompt: ", size, " tokens do not fit the context, which has room for ", model_.room);
    }
    for (const text::TokenId id : prompt) sampler_.accept_prompt(id);
    const int64_t batch = std::max<int64_t>(options_.prompt_batch, 1);
    if (options_.cached < 0 || options_.cached >= size) {
      fail("cached: expected 0 to ", size - 1, ", one less than the prompt has tokens, found ",
           options_.cached);
    }
    fed_ = options_.cached;
    while (fed_ < size) {
      const int64_t count = std::min(batch, size - fed_);
      feed(prompt.subspan(static_cast<size_t>(fed_), static_cast<size_t>(count)));
      result_.prompt_tokens += count;
      if (options_.on_prompt && !options_.on_prompt(fed_)) return false;
    }
    return true;
  }

  void feed(std::span<const text::TokenId> tokens) {
    logits_ = model_.feed(tokens, options_.entropy ? WantedLogits{} : sampler_.wanted());
    fed_ += static_cast<int64_t>(tokens.size());
    if (std::cmp_greater(logits_.size(), sampler_.vocab_size())) {
      logits_ = logits_.first(static_cast<size_t>(sampler_.vocab_size()));
    }
  }

  StopReason decode() {
    for (;;) {
      if (options_.max_new_tokens >= 0 && std::cmp_equal(result_.ids.size(), options_.max_new_tokens)) {
        return StopReason::length;
      }
      if (!result_.ids.empty()) {
        if (fed_ == model_.room) return StopReason::context;
        feed(std::span(&result_.ids.back(), 1));
        ++result_.decoded_tokens;
      }
      const text::TokenId id = sampler_.sample(logits_);
      if (options_.entropy) note_entropy();
      if (std::ranges::find(options_.stop_tokens, id) != options_.stop_tokens.end()) {
        return StopReason::stop_token;
      }
      sampler_.accept(id);
      result_.ids.push_back(id);
      if (options_.on_token && !options_.on_token(id)) return StopReason::interrupted;
      if (!show(text_.push(id))) return StopReason::interrupted;
      if (text_.stopped()) return StopReason::stop_string;
    }
  }

  void note_entropy() {
    const double found = entropy(logits_);
    const double mean = result_.entropy.value_or(0.0);
    result_.entropy = mean + (found - mean) / static_cast<double>(++drawn_);
  }

  /// False if the callback wants an end; it is not called again then.
  bool show(const std::string& text) {
    if (text.empty()) return true;
    result_.text += text;
    if (options_.on_text && !closed_) closed_ = !options_.on_text(text);
    return !closed_;
  }

  const TokenFeed& model_;
  Sampler& sampler_;
  const GenerateOptions& options_;
  GeneratedText text_;
  std::span<const float> logits_;  // behind the last token fed
  int64_t fed_ = 0;
  int64_t drawn_ = 0;
  bool closed_ = false;  // on_text returned false
  GenerateResult result_;
};

}  // namespace

const char* name(StopReason reason) {
  switch (reason) {
    case StopReason::stop_token:
      return "stop_token";
    case StopReason::stop_string:
      return "stop_string";
    case StopReason::length:
      return "length";
    case StopReason::context:
      return "context";
    case StopReason::interrupted:
      return "interrupted";
    case StopReason::time_limit:
      return "time_limit";
  }
  return "unknown";
}

double GenerateResult::prompt_tokens_per_second() const {
  return rate(prompt_tokens, prompt_seconds);
}

double GenerateResult::decode_tokens_per_second() const {
  return rate(decoded_tokens, decode_seconds);
}

GenerateResult generate(const TokenFeed& model, std::span<const text::TokenId> prompt, Sampler& sampler,
                        const text::Tokenizer* tokenizer, const GenerateOptions& options) {
  return Generation(model, sampler, tokenizer, options).run(prompt);
}

}  // namespace rotor::runtime
