// The table of cosines and sines.
#include "rotor/core/rope.h"

#include <cmath>

namespace rotor {

RopeTable rope_table(int64_t head_dim, double theta, int64_t positions) {
  const int64_t pairs = head_dim / 2;
  std::vector<float> frequencies(static_cast<size_t>(pairs));
  for (int64_t i = 0; i < pairs; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    frequencies[static_cast<size_t>(i)] =
        static_cast<float>(1.0 / std::pow(theta, static_cast<double>(exponent)));
  }
  RopeTable table;
  table.cos.reserve(static_cast<size_t>(positions * pairs));
  table.sin.reserve(static_cast<size_t>(positions * pairs));
  for (int64_t p = 0; p < positions; ++p) {
    for (const float frequency : frequencies) {
      const auto angle = static_cast<double>(static_cast<float>(p) * frequency);
      table.cos.push_back(static_cast<float>(std::cos(angle)));
      table.sin.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return table;
}

}  // namespace rotor
