// A head for many rows reads its weights once; a single row may be screened.
#include "runtime/engine/paged_model.h"

#include <algorithm>
#include <utility>

namespace rotor::runtime {

PagedModel::PagedModel(const Transformer& model, std::shared_ptr<Placement> placement,
                       const SessionOptions& options)
    : model_(model),
      placement_(std::move(placement)),
      head_(model, options.head_screening),
      options_(stage_options(model, options)),
      adapters_(options.adapters) {
  for (const ActiveAdapter& active : adapters_) model_.check_adapter(active);
  if (!survives([&] { memory_ = make_memory(); })) return;
}

PagedModel::Memory PagedModel::make_memory() const {
  Memory memory{.stages = placement_->make_stages(options_), .rows = {}, .logits = {}};
  Backend& backend = *memory.stages.back().backend;
  memory.rows = backend.allocate(kHeadRows, hidden_size());
  memory.logits = backend.allocate(kHeadRows, vocab_size());
  attach(memory);
  return memory;
}

void PagedModel::attach(Memory& memory) const {
  for (Transformer::Stage& stage : memory.stages) model_.attach(stage, adapters_, options_.batch);
}

bool PagedModel::set_adapters(const std::vector<ActiveAdapter>& adapters) {
  if (!has_memory()) return false;
  if (adapters == adapters_) return true;
  for (const ActiveAdapter& active : adapters) model_.check_adapter(active);
  const std::vector<ActiveAdapter> before = std::exchange(adapters_, adapters);
  try {
    return survives([&] { attach(memory_); });
  } catch (...) {
    for (Transformer::Stage& stage : memory_.stages) stage.adapters = {};  // which view what goes now
    adapters_ = before;
    attach(memory_);
    throw;
  }
}

bool PagedModel::survives(const auto& work) {
  try {
    work();
    return true;
  } catch (const DeviceLost& error) {
    if (on_cpu_ || !placement_->lose(error)) throw;
  }
  on_cpu_ = true;
  memory_ = {};
  memory_ = make_memory();
  head_.measure_anew();
  return false;
}

bool PagedModel::has_memory() {
  if (!memory_.stages.empty()) return true;
  memory_ = make_memory();
  return false;
}

bool PagedModel::run(std::span<const text::TokenId> ids, std::span<const TextRows> texts) {
  if (!has_memory()) return false;
  if (std::ssize(ids) > batch()) fail("a batch has at most ", batch(), " rows, found ", ids.size());
  return survives([&] { hidden_ = model_.forward(memory_.stages, ids, texts); });
}

bool PagedModel::logits(std::span<const int64_t> rows, const WantedLogits& wanted,
                        std::span<const float>& values) {
  const auto width = static_cast<size_t>(vocab_size());
  values_.resize(rows.size() * width);
  values = values_;
  return survives([&] {
    Backend& backend = head_backend();
    for (size_t first = 0; first < rows.size(); first += kHeadRows) {
      const size_t count = std::min(rows.size() - first, static_cast<size_t>(kHeadRows));
      Tensor logits = memory_.logits;
      logits.rows = static_cast<int64_t>(count);
      const auto part = std::span(values_).subspan(first * width, count * width);
      Tensor some = memory_.rows;
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
  return survives([&] { head_backend().download(hidden_, values_); });
}

}  // namespace rotor::runtime
