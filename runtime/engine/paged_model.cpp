// A head for many rows reads its weights once; a single row may be screened.
#include "runtime/engine/paged_model.h"

#include <algorithm>
#include <utility>

namespace rotor::runtime {

PagedModel::PagedModel(const Transformer& model, std::shared_ptr<Placement> placement,
                       const SessionOptions& options)
    : model_(model),
      head_(model, options.head_screening),
      options_(stage_options(model, options)),
      stages_(model, std::move(placement), options_, options.adapters, [this](Backend& backend) {
        rows_ = backend.allocate(kHeadRows, hidden_size());
        logits_ = backend.allocate(kHeadRows, vocab_size());
        head_.measure_anew();
      }) {}

bool PagedModel::set_adapters(const std::vector<ActiveAdapter>& adapters) {
  return stages_.set_adapters(adapters);
}

bool PagedModel::run(std::span<const text::TokenId> ids, std::span<const TextRows> texts) {
  if (std::ssize(ids) > batch()) fail("a batch has at most ", batch(), " rows, found ", ids.size());
  return stages_.survives([&] { hidden_ = model_.forward(stages_.stages(), ids, texts); });
}

bool PagedModel::logits(std::span<const int64_t> rows, const WantedLogits& wanted,
                        std::span<const float>& values) {
  const auto width = static_cast<size_t>(vocab_size());
  values_.resize(rows.size() * width);
  values = values_;
  return stages_.survives([&] {
    Backend& backend = stages_.head_backend();
    for (size_t first = 0; first < rows.size(); first += kHeadRows) {
      const size_t count = std::min(rows.size() - first, static_cast<size_t>(kHeadRows));
      Tensor logits = logits_;
      logits.rows = static_cast<int64_t>(count);
      const auto part = std::span(values_).subspan(first * width, count * width);
      Tensor some = rows_;
      some.rows = logits.rows;
      backend.copy_rows(hidden_, rows.subspan(first, count), some);
      if (rows.size() == 1) {
        head_.compute(backend, some, wanted, logits);
        backend.download_wanted(logits, wanted, part);
      } else {
        model_.head(backend, some, logits);
        backend.download(logits, part);
      }
    }
  });
}

bool PagedModel::hidden(std::span<const float>& values) {
  values_.resize(static_cast<size_t>(hidden_.rows * hidden_.cols));
  values = values_;
  return stages_.survives([&] { stages_.head_backend().download(hidden_, values_); });
}

}  // namespace rotor::runtime
