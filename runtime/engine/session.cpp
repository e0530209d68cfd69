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
    : model_(model),
      backend_(backend),
      head_(model, options.head_screening),
      context_(checked_context(model, options.context)) {
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

std::span<const float> Session::feed(std::span<const text::TokenId> tokens, const WantedLogits& wanted) {
  check_tokens(tokens);
  const auto batch = static_cast<size_t>(workspace_.batch);
  for (size_t first = 0; first < tokens.size(); first += batch) {
    const auto ids = tokens.subspan(first, std::min(batch, tokens.size() - first));
    const Tensor hidden = advance(ids);
    if (first + ids.size() == tokens.size()) backend_.copy_rows(hidden, hidden.rows - 1, last_hidden_);
  }
  head_.compute(backend_, last_hidden_, wanted, logits_);
  values_.resize(static_cast<size_t>(vocab_size()));
  backend_.download_wanted(logits_, wanted, values_);
  return values_;
}

void Session::for_logits(std::span<const text::TokenId> tokens, const auto& work) {
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
      work(part, index);
      index += part.rows;
    }
  }
}

void Session::feed_all(std::span<const text::TokenId> tokens, const OnLogits& on_logits) {
  const auto size = static_cast<size_t>(vocab_size());
  for_logits(tokens, [&](const Tensor& hidden, int64_t first) {
    for (int64_t i = 0; i < hidden.rows; ++i) {
      on_logits(first + i, std::span(values_).subspan(static_cast<size_t>(i) * size, size));
    }
  });
}

void Session::check_screening(std::span<const text::TokenId> tokens, std::span<ScreeningCheck> checks,
                              const OnLogits& on_logits) {
  const HeadScreening required(model_, HeadScreeningMode::on);  // or an error
  const auto size = static_cast<size_t>(vocab_size());
  std::vector<float> screened(size);
  for_logits(tokens, [&](const Tensor& hidden, int64_t first) {
    for (int64_t i = 0; i < hidden.rows; ++i) {
      const auto all = std::span(values_).subspan(static_cast<size_t>(i) * size, size);
      backend_.copy_rows(hidden, i, last_hidden_);
      for (ScreeningCheck& check : checks) {
        const WantedLogits wanted{check.count, {}, vocab_size()};
        const int64_t rows = model_.screened_head(backend_, last_hidden_, wanted, logits_);
        if (rows > 0) backend_.download(logits_, screened);
        check.add(all, screened, rows);
      }
      on_logits(first + i, all);
    }
  });
}

void Session::rewind(int64_t position) {
  if (position < 0 || position > position_) {
    fail("rewind: expected a position from 0 to ", position_, ", found ", position);
  }
  position_ = position;
}

}  // namespace rotor::runtime
