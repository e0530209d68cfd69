#include "rotor/formats/model_source.h"

#include <algorithm>
#include <memory>

#include "rotor/core/tiles.h"

namespace rotor {

void ModelSource::read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                             std::span<uint8_t> tiles) const {
  const auto cols = static_cast<size_t>(spec.shape[1]);
  const size_t count = static_cast<size_t>(rows) * cols;
  const auto memory = std::make_unique_for_overwrite<int8_t[]>(count);
  const std::span trits(memory.get(), count);
  read_trits(spec, first, rows, trits);
  pack_tiles(trits, static_cast<size_t>(rows), cols, tiles);
}

void ModelSource::read_values(const TensorSpec& spec, int64_t first, int64_t rows,
                              std::span<float> values) const {
  if (!is_ternary(config(), spec) || has_masters()) return read_floats(spec, first, rows, values);
  std::vector<int8_t> trits(values.size());
  read_trits(spec, first, rows, trits);
  const float factor = scale(spec);
  std::ranges::transform(trits, values.begin(),
                         [&](int8_t code) { return static_cast<float>(code) * factor; });
}

std::vector<float> ModelSource::tensor(const TensorSpec& spec) const {
  size_t count = 1;
  for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count);
  read_floats(spec, 0, spec.shape[0], values);
  return values;
}

}  // namespace rotor
