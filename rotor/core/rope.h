// Rotary position embedding as one table that training and runtime both read, so that both rotate by the same
// floats.
#pragma once

#include <cstdint>
#include <vector>

namespace rotor {

/// cos and sin of the angles, each [positions, head_dim / 2].
struct RopeTable {
  std::vector<float> cos;
  std::vector<float> sin;
};

/// The angle of position p and pair i is the float32 product p * theta^(-2i/head_dim) (Su et al., arXiv
/// 2104.09864, eq. 15; transformers, modeling_rope_utils.py, which takes float32 products). Pair i of a head
/// rotates elements i and i + head_dim/2 (rotate-half form).
RopeTable rope_table(int64_t head_dim, double theta, int64_t positions);

}  // namespace rotor
