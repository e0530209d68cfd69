// Counting bytes against room, and the stages that follow from it.
#include "runtime/engine/placement.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

uint64_t sum(const std::vector<WeightBytes>& list) {
  uint64_t bytes = 0;
  for (const WeightBytes& weights : list) bytes += weights.bytes.size();
  return bytes;
}

std::string mebibytes(uint64_t bytes) {
  return cat((bytes + (1 << 20) - 1) >> 20, " MiB");
}

/// What `work` gives, which takes memory of the device; if there is not enough, the error says what helps.
auto taking_memory(const auto& work) {
  try {
    return work();
  } catch (const DeviceLost&) {
    throw;
  } catch (const Error& error) {
    fail(error.what(), "; --gpu-layers and --gpu-memory keep layers on the CPU");
  }
}

}  // namespace

MemoryNeed memory_need(const Transformer& model, const Transformer::StageOptions& session,
                       std::span<const ActiveAdapter> adapters) {
  const TransformerConfig& t = model.config().transformer;
  const int64_t logits = (kHeadRows + 1) * t.vocab_size;
  const int64_t head_inputs = (kHeadRows + 1) * t.hidden_size;
  MemoryNeed need;
  need.activations = model.workspace_bytes(session) + Transformer::adapter_workspace_bytes(adapters, session);
  for (int64_t i = 0; i < t.num_hidden_layers; ++i) {
    uint64_t bytes = sum(model.layer_weights({i, i + 1})) + model.cache_bytes_per_layer(session);
    for (const ActiveAdapter& active : adapters) bytes += sum(active.adapter->weights(i, i + 1));
    need.layers.push_back(bytes);
  }
  need.head = sum(model.head_weights()) + static_cast<uint64_t>(logits + head_inputs) * sizeof(float);
  return need;
}

Split choose_split(const MemoryNeed& need, int64_t gpu_layers, std::optional<uint64_t> room) {
  const auto all = static_cast<int64_t>(need.layers.size());
  Split fitting{.layers = all, .head = true};
  if (room) {
    uint64_t bytes = need.activations;
    fitting = {};
    while (fitting.layers < all) {
      bytes += need.layers[static_cast<size_t>(fitting.layers)];
      if (bytes > *room) break;
      ++fitting.layers;
    }
    fitting.head = fitting.layers == all && bytes + need.head <= *room;
  }
  if (gpu_layers == PlacementOptions::kAsManyAsFit) return fitting;
  const Split wanted{.layers = std::min(gpu_layers, all), .head = gpu_layers > all};
  if (wanted.layers > fitting.layers || (wanted.head && !fitting.head)) {
    const std::string found = wanted.head ? "all and the head" : cat(wanted.layers);
    fail("--gpu-layers: expected at most ", fitting.layers, " of ", all, " layers, which is what fits into ",
         mebibytes(*room), " of the device's memory with this context, found ", found);
  }
  return wanted;
}

Placement::Placement(const Transformer& model, Backend& backend)
    : model_(model),
      device_(backend),
      split_{.layers = model.config().transformer.num_hidden_layers, .head = true} {
  held_.push_back(device_.hold(model_.layer_weights({0, split_.layers})));
  held_.push_back(device_.hold(model_.head_weights()));
}

Placement::Placement(const Transformer& model, Backend& device, Backend& cpu, Split split, Warn warn)
    : model_(model), device_(device), cpu_(&cpu), split_(split), warn_(std::move(warn)) {
  const auto hold = [&](const std::vector<WeightBytes>& weights) {
    held_.push_back(taking_memory([&] { return device_.hold(weights); }));
  };
  try {
    if (split_.layers > 0) hold(model_.layer_weights({0, split_.layers}));
    if (split_.head) hold(model_.head_weights());
  } catch (const DeviceLost& error) {
    lose(error);
  }
}

Backend& Placement::backend() const {
  return gpu_layers() > 0 ? device_ : *cpu_;
}

Backend& Placement::head_backend() const {
  return split_.head && !lost_ ? device_ : *cpu_;
}

void Placement::keep(const Adapter& adapter) {
  const int64_t layers = gpu_layers();
  if (layers == 0) return;
  try {
    auto held = taking_memory([&] { return device_.hold(adapter.weights(0, layers)); });
    const std::lock_guard lock(mutex_);
    held_.push_back(std::move(held));
  } catch (const DeviceLost& error) {
    lose(error);
  }
}

std::vector<Transformer::Stage> Placement::make_stages(const Transformer::StageOptions& options) const {
  const int64_t all = model_.config().transformer.num_hidden_layers;
  const int64_t on_device = gpu_layers();
  std::vector<Transformer::Stage> stages;
  if (on_device > 0) {
    stages.push_back(taking_memory([&] { return model_.make_stage(device_, {0, on_device}, options); }));
  }
  if (on_device == 0 || !split_.head) stages.push_back(model_.make_stage(*cpu_, {on_device, all}, options));
  return stages;
}

bool Placement::lose(const DeviceLost& error) {
  if (cpu_ == nullptr) return false;
  lost_ = true;
  std::call_once(warned_, [&] {
    if (warn_) {
      warn_(cat(device_.name(), ": the device is lost (", error.what(),
                "): the CPU goes on, and first computes again what was in the context"));
    }
  });
  return true;
}

}  // namespace rotor::runtime
