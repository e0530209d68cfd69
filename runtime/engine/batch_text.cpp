// Drawing, showing and ending.
#include "runtime/engine/batch_text.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>

#include "runtime/engine/log_probabilities.h"
#include "runtime/engine/prompt_lookup.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kMostMisses = 5;  // then a guess is tried once in 2^5 tokens
constexpr int64_t kMostGuesses = 64;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// The request, if it is right.
BatchRequest checked(BatchRequest request, const LanguageModel& model, int64_t context) {
  const auto size = std::ssize(request.prompt);
  if (size == 0) fail("prompt: expected at least one token, found none");
  if (size > context) {
    fail("prompt: ", size, " tokens do not fit the context, which has room for ", context);
  }
  for (const text::TokenId id : request.prompt) {
    if (id < 0 || id >= model.vocab_size()) {
      fail("prompt: expected token ids from 0 to ", model.vocab_size() - 1, ", found ", id);
    }
  }
  if (request.max_new_tokens < -1) {
    fail("max_new_tokens: expected -1 (no limit), 0 or more, found ", request.max_new_tokens);
  }
  if (request.top_logprobs && *request.top_logprobs < 0) {
    fail("top_logprobs: expected 0 or more, found ", *request.top_logprobs);
  }
  for (const ActiveAdapter& active : request.adapters) model.transformer().check_adapter(active);
  return request;
}

}  // namespace

void Mailbox::put(std::string text, BatchToken token) {
  const std::lock_guard lock(mutex_);
  progress_.text += text;
  progress_.tokens.push_back(std::move(token));
  came_.notify_one();
}

void Mailbox::finish(BatchProgress last) {
  const std::lock_guard lock(mutex_);
  last.text = std::move(progress_.text) + last.text;
  last.tokens = std::move(progress_.tokens);
  last.finished = true;
  progress_ = std::move(last);
  came_.notify_one();
}

BatchProgress Mailbox::take(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  came_.wait_for(lock, timeout, [&] { return progress_.finished || !progress_.tokens.empty(); });
  BatchProgress taken = progress_;
  progress_.text.clear();
  progress_.tokens.clear();
  return taken;
}

TextInBatch::TextInBatch(BatchRequest request, const LanguageModel& model, int64_t context)
    : request_(checked(std::move(request), model, context)),
      model_(model),
      context_(context),
      sampler_(request_.sampling, model.vocab_size()),
      text_(model.tokenizer(), request_.continues_text, request_.stop_strings),
      tokens_(request_.prompt) {
  sampler_.set_constraint(request_.constraint);
  for (const text::TokenId id : tokens_) sampler_.accept_prompt(id);
  usage_.prompt_tokens = size();
}

std::vector<text::TokenId> TextInBatch::guess(int64_t most) {
  if (skipped_guesses_ > 0) {
    --skipped_guesses_;
    return {};
  }
  most = std::min(most, guess_length_);
  if (request_.max_new_tokens >= 0) {  // the last token is drawn, not guessed
    most = std::min(most, request_.max_new_tokens - usage_.completion_tokens - 1);
  }
  most = std::min(most, context_ - size());
  return guess_next_tokens(tokens_, most);
}

/// What was right tells how far the next guess may reach; misses in a row make guesses rarer, so that a text
/// without repetitions is hardly slowed down.
void TextInBatch::note_guesses(int64_t guessed, int64_t right) {
  usage_.drafted_tokens += guessed;
  usage_.accepted_tokens += right;
  misses_ = right == 0 ? std::min(misses_ + 1, kMostMisses) : 0;
  guess_length_ = right == guessed ? std::min(2 * guess_length_, kMostGuesses) : right + 1;
  if (right == 0) skipped_guesses_ = int64_t{1} << misses_;
}

bool TextInBatch::draw(std::span<const float> logits) {
  if (usage_.completion_tokens == request_.max_new_tokens) {
    finish(StopReason::length);
    return false;
  }
  logits = logits.first(static_cast<size_t>(sampler_.vocab_size()));
  const text::TokenId id = sampler_.sample(logits);
  if (request_.entropy) entropies_.push_back(entropy(logits));
  if (usage_.completion_tokens == 0) usage_.first_token_seconds = seconds_since(submitted_);
  if (std::ranges::find(request_.stop_tokens, id) != request_.stop_tokens.end()) {
    finish(StopReason::stop_token);
    return false;
  }
  sampler_.accept(id);
  show(id, logits);
  tokens_.push_back(id);
  if (text_.stopped()) {
    finish(StopReason::stop_string);
  } else if (usage_.completion_tokens == request_.max_new_tokens) {
    finish(StopReason::length);
  } else if (size() > context_) {
    finish(StopReason::context);
  }
  return !finished_;
}

void TextInBatch::show(text::TokenId id, std::span<const float> logits) {
  BatchToken token{.id = id, .bytes = {}, .logprob = 0.0, .alternatives = {}};
  if (model_.tokenizer() != nullptr) {
    const bool first = usage_.completion_tokens == 0 && !request_.continues_text;
    token.bytes = model_.tokenizer()->token_bytes(id, first);
  }
  if (request_.top_logprobs) {
    auto [logprob, largest] = log_probabilities(logits, id, *request_.top_logprobs);
    token.logprob = logprob;
    token.alternatives = std::move(largest);
  }
  ++usage_.completion_tokens;
  mailbox_->put(text_.push(id), std::move(token));
}

void TextInBatch::pool(std::span<const float> hidden, int64_t rows) {
  const size_t width = hidden.size() / static_cast<size_t>(rows);
  pooled_.resize(width);
  for (size_t i = 0; i < hidden.size(); ++i) pooled_[i % width] += static_cast<double>(hidden[i]);
}

void TextInBatch::finish_embedding() {
  double squares = 0.0;
  for (const double value : pooled_) squares += value * value;
  const double length = squares > 0.0 ? std::sqrt(squares) : 1.0;
  for (const double value : pooled_) embedding_.push_back(static_cast<float>(value / length));
  finish(StopReason::length);
}

void TextInBatch::begin() {
  if (usage_.queue_seconds == 0.0) usage_.queue_seconds = seconds_since(submitted_);
}

void TextInBatch::finish(StopReason reason, const std::string& error, bool refused) {
  if (std::exchange(finished_, true)) return;
  usage_.seconds = seconds_since(submitted_);
  stop_reason_ = reason;
  failed_ = !error.empty();
  mailbox_->finish({.text = text_.finish(),
                    .tokens = {},
                    .finished = true,
                    .stop_reason = reason,
                    .error = error,
                    .refused = refused,
                    .embedding = std::move(embedding_),
                    .entropy = mean_entropy(),
                    .usage = usage_});
}

std::optional<double> TextInBatch::mean_entropy() const {
  if (entropies_.empty()) return std::nullopt;
  return std::accumulate(entropies_.begin(), entropies_.end(), 0.0) / static_cast<double>(entropies_.size());
}

void TextInBatch::lose_cache() {
  computed = 0;
  pages.clear();
  published = 0;
  prefix = root;
  if (usage_.completion_tokens == 0) usage_.cached_tokens = 0;  // its prompt is begun anew
  pooled_.clear();
}

}  // namespace rotor::runtime
