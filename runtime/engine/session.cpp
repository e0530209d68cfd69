// Feeding tokens in batches, and the logits of the last or of all of them.
#include "runtime/engine/session.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr std::array<int32_t, 1> kOnePage = {0};  // a session's cache is one page

int64_t checked_context(const Transformer& model, int64_t wanted) {
  const int64_t longest = model.config().transformer.max_position_embeddings;
  if (wanted < 0 || wanted > longest) {
    fail("context: expected 1 to ", longest, " tokens (max_position_embeddings of the model), found ",
         wanted);
  }
  return wanted == 0 ? longest : wanted;
}

/// y = rows `first` and on of x, as many as y has, at most kHeadRows.
void copy_rows(Backend& backend, const Tensor& x, int64_t first, const Tensor& y) {
  std::array<int64_t, kHeadRows> rows;
  std::iota(rows.begin(), rows.begin() + y.rows, first);
  backend.copy_rows(x, std::span(rows).first(static_cast<size_t>(y.rows)), y);
}

SessionOptions of_one_text(SessionOptions options) {
  options.kv_pages = 0;
  return options;
}

}  // namespace

Transformer::StageOptions stage_options(const Transformer& model, const SessionOptions& options) {
  const int64_t context = checked_context(model, options.context);
  int64_t batch = std::max<int64_t>(options.batch, 1);
  if (options.kv_pages == 0) batch = std::min(batch, context);  // of one text
  return {.batch = batch, .context = context, .kv = options.kv, .kv_pages = options.kv_pages};
}

Session::Session(const Transformer& model, std::shared_ptr<Placement> placement,
                 const SessionOptions& options)
    : model_(model),
      head_(model, options.head_screening),
      options_(stage_options(model, of_one_text(options))),
      stages_(model, std::move(placement), options_, options.adapters, [this](Backend& backend) {
        last_hidden_ = backend.allocate(1, model_.config().transformer.hidden_size);
        logits_ = backend.allocate(1, vocab_size());
        batch_logits_ = {};
        head_.measure_anew();
      }) {
  ids_.reserve(static_cast<size_t>(options_.context));
}

Session::Session(const Transformer& model, Backend& backend, const SessionOptions& options)
    : Session(model, std::make_shared<Placement>(model, backend), options) {}

void Session::set_adapters(const std::vector<ActiveAdapter>& adapters) {
  if (adapters == stages_.adapters()) return;
  std::vector<text::TokenId> ids = std::exchange(ids_, {});
  try {
    stages_.set_adapters(adapters);
  } catch (...) {
    ids_ = std::move(ids);
    throw;
  }
  ids_.reserve(static_cast<size_t>(options_.context));
}

void Session::survive(const auto& work) {
  const bool kept = stages_.survives([&] {
    if (!cache_lost_) work();
  });
  if (kept && !cache_lost_) return;
  cache_lost_ = true;
  compute_cache_again();
  cache_lost_ = false;
  work();
}

void Session::compute_cache_again() {
  Tensor hidden;
  for (size_t first = 0; first < ids_.size();) {
    const auto ids = batch_of(ids_, first);
    const TextRows text{std::ssize(ids), static_cast<int64_t>(first), kOnePage};
    hidden = model_.forward(stages_.stages(), ids, {&text, 1});
    first += ids.size();
  }
  if (hidden.rows > 0) copy_rows(head_backend(), hidden, hidden.rows - 1, last_hidden_);
}

void Session::check_tokens(std::span<const text::TokenId> tokens) const {
  if (tokens.empty()) fail("expected at least one token");
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || tokens[i] >= vocab_size()) {
      fail("token ", i, ": expected an id from 0 to ", vocab_size() - 1, ", found ", tokens[i]);
    }
  }
  const auto count = static_cast<int64_t>(tokens.size());
  if (position() + count > context()) {
    fail("the context holds ", context(), " tokens: ", position(), " are in it, ", count, " more do not fit");
  }
}

std::span<const text::TokenId> Session::batch_of(std::span<const text::TokenId> tokens, size_t first) const {
  return tokens.subspan(first, std::min(static_cast<size_t>(options_.batch), tokens.size() - first));
}

Tensor Session::advance(std::span<const text::TokenId> ids) {
  Transformer::Observer observer;
  if (observer_) {
    observer = [this](int64_t layer, std::span<const float> hidden) {
      if (layer < shown_) return;  // before the device was lost
      observer_(layer, hidden);
      shown_ = layer + 1;
    };
  }
  const TextRows text{std::ssize(ids), position(), kOnePage};
  const Tensor hidden = model_.forward(stages_.stages(), ids, {&text, 1}, observer);
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  return hidden;
}

std::span<const float> Session::feed(std::span<const text::TokenId> tokens, const WantedLogits& wanted) {
  check_tokens(tokens);
  values_.resize(static_cast<size_t>(vocab_size()));
  size_t taken = 0;
  shown_ = 0;
  survive([&] {
    while (taken < tokens.size()) {
      const auto ids = batch_of(tokens, taken);
      const Tensor hidden = advance(ids);
      shown_ = 0;
      taken += ids.size();
      if (taken < tokens.size()) continue;
      copy_rows(head_backend(), hidden, hidden.rows - 1, last_hidden_);
    }
    head_.compute(head_backend(), last_hidden_, wanted, logits_);
    head_backend().download_wanted(logits_, wanted, values_);
  });
  return values_;
}

void Session::for_logits(std::span<const text::TokenId> tokens, const auto& work) {
  check_tokens(tokens);
  const TransformerConfig& t = model_.config().transformer;
  const auto size = static_cast<size_t>(t.vocab_size);
  for (size_t first = 0; first < tokens.size(); first += static_cast<size_t>(options_.batch)) {
    const auto ids = batch_of(tokens, first);
    const size_t before = ids_.size();
    int64_t row = 0;  // of the first whose logits are still to come
    shown_ = 0;
    survive([&] {
      if (batch_logits_.rows == 0) {
        batch_logits_ = head_backend().allocate(kHeadRows, t.vocab_size);
      }
      ids_.resize(before);
      const Tensor hidden = advance(ids);
      while (row < hidden.rows) {
        const Tensor part = head_backend().allocate(std::min(kHeadRows, hidden.rows - row), t.hidden_size);
        Tensor logits = batch_logits_;
        logits.rows = part.rows;
        copy_rows(head_backend(), hidden, row, part);
        model_.head(head_backend(), part, logits);
        values_.resize(static_cast<size_t>(part.rows) * size);
        head_backend().download(logits, values_);
        for (int64_t i = 0; i < part.rows; ++i, ++row) {
          work(part, i, static_cast<int64_t>(first) + row,
               std::span<const float>(values_).subspan(static_cast<size_t>(i) * size, size));
        }
      }
    });
  }
}

void Session::feed_all(std::span<const text::TokenId> tokens, const OnLogits& on_logits) {
  for_logits(tokens, [&](const Tensor&, int64_t, int64_t index, std::span<const float> logits) {
    on_logits(index, logits);
  });
}

void Session::check_screening(std::span<const text::TokenId> tokens, std::span<ScreeningCheck> checks,
                              const OnLogits& on_logits) {
  const HeadScreening required(model_, HeadScreeningMode::on);  // or an error
  std::vector<float> screened(static_cast<size_t>(vocab_size()));
  for_logits(tokens, [&](const Tensor& hidden, int64_t row, int64_t index, std::span<const float> all) {
    copy_rows(head_backend(), hidden, row, last_hidden_);
    std::vector<ScreeningCheck> updated(checks.begin(), checks.end());  // kept if no device is lost meanwhile
    for (ScreeningCheck& check : updated) {
      const WantedLogits wanted{check.count, {}, vocab_size()};
      const int64_t rows = model_.screened_head(head_backend(), last_hidden_, wanted, logits_);
      if (rows > 0) head_backend().download(logits_, screened);
      check.add(all, screened, rows);
    }
    std::ranges::copy(updated, checks.begin());
    on_logits(index, all);
  });
}

void Session::rewind(int64_t position) {
  if (position < 0 || position > this->position()) {
    fail("rewind: expected a position from 0 to ", this->position(), ", found ", position);
  }
  ids_.resize(static_cast<size_t>(position));
}

}  // namespace rotor::runtime
