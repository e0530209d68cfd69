// Matrices are copied out of their file, which promises no alignment and may be truncated meanwhile.
#include "runtime/model/adapter.h"

#include <algorithm>
#include <array>
#include <new>

#include "rotor/core/error.h"
#include "runtime/model/weight_list.h"

namespace rotor::runtime {
namespace {

constexpr std::array<const char*, kBlockLinears> kNames = {
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

/// Whole pages, so that a device may take the memory as it is.
constexpr std::align_val_t kPage{4096};

}  // namespace

void Adapter::Free::operator()(uint8_t* memory) const {
  ::operator delete(memory, kPage);
}

Adapter::Adapter(const PeftAdapter& files, const ModelConfig& config, const std::string& base)
    : path_(files.path()) {
  files.check_shapes(config, base);
  const int64_t blocks = config.transformer.num_hidden_layers;
  layers_.resize(static_cast<size_t>(blocks) * kBlockLinears);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string module = cat("model.layers.", i / kBlockLinears, ".", kNames[i % kBlockLinears]);
    const LoraLayer* layer = files.find(module);
    if (layer != nullptr) layers_[i] = {read(files, *layer->a), read(files, *layer->b), layer->scale};
  }
  files.weights().check_intact();
}

LinearWeights Adapter::read(const PeftAdapter& files, const TensorInfo& tensor) {
  const DenseType type = tensor.dtype == DType::f16 ? DenseType::f16 : DenseType::f32;
  const std::vector<float> values = files.read(tensor);
  const size_t size = values.size() * dense_bytes(type);
  const auto page = static_cast<size_t>(kPage);
  const size_t pages = (size + page - 1) / page;
  matrices_.emplace_back(static_cast<uint8_t*>(::operator new(pages* page, kPage)));
  uint8_t* memory = matrices_.back().get();
  floats_to(type == DenseType::f16 ? DType::f16 : DType::f32, values, {memory, size});
  LinearWeights weights;
  weights.rows = tensor.shape[0];
  weights.cols = tensor.shape[1];
  weights.dense = {weights.rows, weights.cols, type, memory, {}};
  return weights;
}

const Adapter::LowRank* Adapter::find(int64_t block, BlockLinear which) const {
  const auto& layer = layers_[static_cast<size_t>(block) * kBlockLinears + static_cast<size_t>(which)];
  return layer ? &*layer : nullptr;
}

int64_t Adapter::num_layers() const {
  return std::ranges::count_if(layers_, [](const auto& layer) { return layer.has_value(); });
}

int64_t Adapter::largest_rank() const {
  int64_t rank = 0;
  for (const auto& layer : layers_) rank = std::max(rank, layer ? layer->a.rows : 0);
  return rank;
}

std::vector<WeightBytes> Adapter::weights(int64_t first, int64_t end) const {
  std::vector<WeightBytes> list;
  for (size_t i = static_cast<size_t>(first) * kBlockLinears; i < static_cast<size_t>(end) * kBlockLinears;
       ++i) {
    if (!layers_[i]) continue;
    add_weights(list, layers_[i]->a);
    add_weights(list, layers_[i]->b);
  }
  return list;
}

uint64_t Adapter::bytes() const {
  uint64_t bytes = 0;
  for (const WeightBytes& weights : weights(0, num_blocks())) bytes += weights.bytes.size();
  return bytes;
}

}  // namespace rotor::runtime
