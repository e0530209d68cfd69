#include "rotor/formats/model_source.h"

namespace rotor {

std::vector<float> ModelSource::tensor(const TensorSpec& spec) const {
  size_t count = 1;
  for (const int64_t size : spec.shape) count *= static_cast<size_t>(size);
  std::vector<float> values(count);
  read_floats(spec, 0, spec.shape[0], values);
  return values;
}

}  // namespace rotor
