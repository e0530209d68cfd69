// Matrices may be cut between rows, or rows of tiles.
#include "runtime/model/weight_list.h"

#include "rotor/core/tiles.h"

namespace rotor::runtime {

void add_weights(std::vector<WeightBytes>& list, std::span<const float> values) {
  if (values.empty()) return;
  list.push_back(
      {{reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()}, values.size_bytes()});
}

void add_weights(std::vector<WeightBytes>& list, const DenseMatrix& matrix) {
  if (matrix.data == nullptr) return;
  const size_t row_bytes = static_cast<size_t>(matrix.cols) * dense_bytes(matrix.type);
  list.push_back({{matrix.data, static_cast<size_t>(matrix.rows) * row_bytes}, row_bytes});
  add_weights(list, matrix.row_scales);
}

void add_weights(std::vector<WeightBytes>& list, const LinearWeights& weights) {
  if (weights.is_ternary()) {
    list.push_back({weights.ternary.tiles, column_tiles(static_cast<size_t>(weights.cols)) * kTileBytes});
  }
  add_weights(list, weights.dense);
  add_weights(list, weights.bias);
}

}  // namespace rotor::runtime
