// LoRA adapters on a transformer's linear layers: the base computes as it does alone, then each adapter adds
// its product. Reference: PEFT 0.21.2, tuners/lora/layer.py (Linear.forward).
#include <algorithm>
#include <array>
#include <cmath>

#include "rotor/core/error.h"
#include "runtime/model/transformer.h"
#include "runtime/ops/ops.h"

namespace rotor::runtime {
namespace {

constexpr std::array kAll = {BlockLinear::query, BlockLinear::key, BlockLinear::value, BlockLinear::output,
                             BlockLinear::gate,  BlockLinear::up,  BlockLinear::down};

/// The first columns of a row-major tensor's memory.
Tensor narrow(Tensor tensor, int64_t cols) {
  tensor.cols = cols;
  return tensor;
}

}  // namespace

void Transformer::check_adapter(const ActiveAdapter& active) const {
  const Adapter& adapter = *active.adapter;
  if (!std::isfinite(active.weight)) {
    fail(adapter.path(), ": weight of the adapter: expected a finite number, found ", active.weight);
  }
  if (adapter.num_blocks() != config_.transformer.num_hidden_layers) {
    fail(adapter.path(), ": the adapter was read for a model of ", adapter.num_blocks(), " layers, expected ",
         config_.transformer.num_hidden_layers);
  }
  for (int64_t i = 0; i < adapter.num_blocks(); ++i) {
    const Layer& layer = layers_[static_cast<size_t>(i)];
    const std::array all = {&layer.query, &layer.key, &layer.value, &layer.output,
                            &layer.gate,  &layer.up,  &layer.down};
    for (size_t k = 0; k < kBlockLinears; ++k) {
      const Adapter::LowRank* low = adapter.find(i, kAll[k]);
      const LinearWeights& base = all[k]->weights;
      if (low != nullptr && (low->a.cols != base.cols || low->b.rows != base.rows)) {
        fail(adapter.path(), ": the adapter was read for a model of other shapes");
      }
    }
  }
}

void Transformer::attach(Stage& stage, std::span<const ActiveAdapter> adapters, int64_t batch) const {
  if (stage.layers.size() == 0) return;
  int64_t rank = 0;
  std::vector<std::shared_ptr<void>> held;
  for (const ActiveAdapter& active : adapters) {
    rank = std::max(rank, active.adapter->largest_rank());
    held.push_back(stage.backend->hold(active.adapter->weights(stage.layers.first, stage.layers.end)));
  }
  for (Tensor& tensor : stage.workspace.low_rank) {
    if (tensor.cols < rank) tensor = stage.backend->allocate(batch, rank);
  }
  stage.held_adapters = std::make_shared<std::vector<std::shared_ptr<void>>>(std::move(held));
  stage.adapters = adapters;
}

uint64_t Transformer::adapter_workspace_bytes(std::span<const ActiveAdapter> adapters,
                                              const StageOptions& options) {
  int64_t rank = 0;
  for (const ActiveAdapter& active : adapters) rank = std::max(rank, active.adapter->largest_rank());
  return static_cast<uint64_t>(std::ssize(Workspace().low_rank) * options.batch * rank) * sizeof(float);
}

bool Transformer::is_adapted(const Stage& stage, const Linear& linear) {
  return std::ranges::any_of(stage.adapters, [&](const ActiveAdapter& active) {
    return active.weight != 0.0F && active.adapter->find(linear.block, linear.which) != nullptr;
  });
}

void Transformer::add_adapters(const Stage& stage, const Tensor& x, std::span<const Output> outputs) {
  for (const auto& [adapter, weight] : stage.adapters) {
    std::array<const Adapter::LowRank*, 3> low{};
    std::array<Projection, 3> narrowing;
    size_t count = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Linear& linear = *outputs[i].linear;
      low[i] = weight != 0.0F ? adapter->find(linear.block, linear.which) : nullptr;
      if (low[i] == nullptr) continue;
      narrowing[count++] = {&low[i]->a, narrow(stage.workspace.low_rank[i], low[i]->a.rows)};
    }
    if (count == 0) continue;
    ops::linear(*stage.backend, x, {}, {narrowing.data(), count});
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (low[i] == nullptr) continue;
      const Projection widening{&low[i]->b, outputs[i].y, true, weight * low[i]->scale};
      ops::linear(*stage.backend, narrow(stage.workspace.low_rank[i], low[i]->a.rows), {}, {&widening, 1});
    }
  }
}

}  // namespace rotor::runtime
