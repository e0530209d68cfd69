// Feeding tokens in batches, and the logits of the last or of all of them.
#include "runtime/engine/session.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kHeadRows = 16;  // tokens whose logits are computed at once

int64_t checked_context(const Transformer& model, int64_t wanted) {
  const int64_t longest = model.config().transformer.max_position_embeddings;
  if (wanted < 0 || wanted > longest) {
    fail("context: expected 1 to ", longest, " tokens (max_position_embeddings of the model), found ",
         wanted);
  }
  return wanted == 0 ? longest : wanted;
}

}  // namespace

Session::Session(const Transformer& model, Backend& backend, const SessionOptions& options)
    : model_(model), backend_(backend), context_(checked_context(model, options.context)) {
  const int64_t batch = std::clamp<int64_t>(options.batch, 1, context_);
  workspace_ = model.make_workspace(backend, batch, context_);
  cache_ = model.make_cache(backend, context_, options.kv);
  last_hidden_ = backend.allocate(1, model.config().transformer.hidden_size);
  logits_ = backend.allocate(1, vocab_size());
}

void Session::check_tokens(std::span<const text::TokenId> tokens) const {
  if (tokens.empty()) fail("expected at least one token");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size()) {
      fail("token ", i, ": expected an id from 0 to ", vocab_size() - 1, ", found ", tokens[i]);
    }
  }
  const auto count = static_cast<int64_t>(tokens.size());
  if (position_ + count > context_) {
    fail("the context holds ", context_, " tokens: ", position_, " are in it, ", count, " more do not fit");
  }
}

Tensor Session::advance(std::span<const text::TokenId> ids) {
  Tensor hidden = model_.forward(backend_, workspace_, cache_, ids, position_, observer_);
  position_ += static_cast<int64_t>(ids.size());
  return hidden;
}

std::span<const float> Session::feed(std::span<const text::TokenId> tokens) {
  check_tokens(tokens);
  const auto batch = static_cast<size_t>(workspace_.batch);
  for (size_t first = 0; first < tokens.size(); first += batch) {
    const auto ids = tokens.subspan(first, std::min(batch, tokens.size() - first));
    const Tensor hidden = advance(ids);
    if (first + ids.size() == tokens.size()) backend_.copy_rows(hidden, hidden.rows - 1, last_hidden_);
  }
  model_.head(backend_, last_hidden_, logits_);
  values_.resize(static_cast<size_t>(vocab_size()));
  backend_.download(logits_, values_);
  return values_;
}

void Session::feed_all(std::span<const text::TokenId> tokens, const OnLogits& on_logits) {
  check_tokens(tokens);
  const TransformerConfig& t = model_.config().transformer;
  if (batch_logits_.rows == 0) batch_logits_ = backend_.allocate(kHeadRows, t.vocab_size);
  const auto batch = static_cast<size_t>(workspace_.batch);
  int64_t index = 0;
  for (size_t first = 0; first < tokens.size(); first += batch) {
    const Tensor hidden = advance(tokens.subspan(first, std::min(batch, tokens.size() - first)));
    for (int64_t row = 0; row < hidden.rows; row += kHeadRows) {
      Tensor part = backend_.allocate(std::min(kHeadRows, hidden.rows - row), t.hidden_size);
      Tensor logits = batch_logits_;
      logits.rows = part.rows;
      backend_.copy_rows(hidden, row, part);
      model_.head(backend_, part, logits);
      values_.resize(static_cast<size_t>(part.rows * t.vocab_size));
      backend_.download(logits, values_);
      for (int64_t i = 0; i < part.rows; ++i) {
        on_logits(index++, std::span(values_).subspan(static_cast<size_t>(i * t.vocab_size),
                                                      static_cast<size_t>(t.vocab_size)));
      }
    }
  }
}

void Session::rewind(int64_t position) {
  if (position < 0 || position > position_) {
    fail("rewind: expected a position from 0 to ", position_, ", found ", position);
  }
  position_ = position;
}

}  // namespace rotor::runtime
