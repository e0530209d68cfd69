// Normal values, scaled by the widths of their matrices.
#include "tests/support/adapters.h"

#include <cmath>
#include <filesystem>

#include "tests/support/random.h"

namespace rotor::test {

AdapterValues random_adapter(const ModelConfig& config, const LoraConfig& lora, uint64_t seed, float size) {
  AdapterValues adapter;
  Random random(seed);
  for (const TensorSpec& spec : tensor_table(config)) {
    const std::string module = module_of(spec);
    if (!can_adapt(spec) || !lora.adapts(module)) continue;
    const int64_t rank = lora.rank_of(module);
    const float factor = size / static_cast<float>(lora.scale_of(module) * std::sqrt(rank));
    for (const int64_t count : {rank * spec.shape[1], spec.shape[0] * rank}) {
      adapter.values.push_back(random.normals(static_cast<size_t>(count)));
    }
    for (float& value : adapter.values.back()) value *= factor;
    adapter.layers.push_back({module, spec.shape[1], spec.shape[0], {}, {}});
  }
  for (size_t i = 0; i < adapter.layers.size(); ++i) {
    adapter.layers[i].a = adapter.values[2 * i];
    adapter.layers[i].b = adapter.values[2 * i + 1];
  }
  return adapter;
}

void write_random_adapter(const std::string& directory, const ModelConfig& config, int64_t rank,
                          uint64_t seed, const std::string& fingerprint, DType dtype) {
  std::filesystem::create_directories(directory);
  LoraConfig lora;
  lora.rank = rank;
  lora.alpha = 2.0 * static_cast<double>(rank);
  lora.all_linear = true;
  lora.base_fingerprint = fingerprint;
  write_peft_adapter(directory, lora, random_adapter(config, lora, seed).layers, dtype);
}

}  // namespace rotor::test
