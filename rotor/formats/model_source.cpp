#include "rotor/formats/model_source.h"

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

std::vector<float> ModelSource::tensor(const TensorSpec& spec) const {
  size_t count = 1;
  for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count);
  read_floats(spec, 0, spec.shape[0], values);
  return values;
}

}  // namespace rotor
