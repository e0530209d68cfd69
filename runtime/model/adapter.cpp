// Matrices are copied out of their file, which promises no alignment and may be truncated meanwhile.
#include "runtime/model/adapter.h"

#include <sys/mman.h>

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

constexpr size_t kHugePage = size_t{1} << 21;  // whole ones: a device may take them as they are
constexpr size_t kAlignment = 256;             // of a matrix in them, as of tensors in .rotor files

size_t round_up(size_t value, size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

DenseType type_of(const TensorInfo& tensor) {
  return tensor.dtype == DType::f16 ? DenseType::f16 : DenseType::f32;
}

size_t bytes_of(const TensorInfo& tensor) {
  return static_cast<size_t>(tensor.shape[0] * tensor.shape[1]) * dense_bytes(type_of(tensor));
}

}  // namespace

void Adapter::Free::operator()(uint8_t* memory) const {
  ::operator delete (memory, std::align_val_t{kHugePage});
}

Adapter::Adapter(const PeftAdapter& files, const ModelConfig& config, const std::string& base)
    : path_(files.path()) {
  files.check_shapes(config, base);
  allocate(files);
  const int64_t blocks = config.transformer.num_hidden_layers;
  layers_.resize(static_cast<size_t>(blocks) * kBlockLinears);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string module = cat("model.layers.", i / kBlockLinears, ".", kNames[i % kBlockLinears]);
    const LoraLayer* layer = files.find(module);
    if (layer != nullptr) layers_[i] = {read(files, *layer->a), read(files, *layer->b), layer->scale};
  }
  files.weights().check_intact();
}

void Adapter::allocate(const PeftAdapter& files) {
  size_t size = 0;
  for (const LoraLayer& layer : files.layers()) {
    size += round_up(bytes_of(*layer.a), kAlignment) + round_up(bytes_of(*layer.b), kAlignment);
  }
  size = round_up(size, kHugePage);
  memory_.reset(static_cast<uint8_t*>(::operator new (size, std::align_val_t{kHugePage})));
  madvise(memory_.get(), size, MADV_HUGEPAGE);  // a wish: without it only speed is lost
}

LinearWeights Adapter::read(const PeftAdapter& files, const TensorInfo& tensor) {
  const DenseType type = type_of(tensor);
  uint8_t* memory = memory_.get() + used_;
  floats_to(type == DenseType::f16 ? DType::f16 : DType::f32, files.read(tensor), {memory, bytes_of(tensor)});
  used_ += round_up(bytes_of(tensor), kAlignment);
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
