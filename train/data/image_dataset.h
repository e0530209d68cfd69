// Labelled images in memory, as batches of normalised tensors. The pixel values go through rotor/core's
// table, the same that the runtime uses, so both see the same floats.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

#include "rotor/core/mix_seed.h"
#include "rotor/core/model_config.h"
#include "rotor/formats/idx.h"

namespace rotor::train {

struct Batch {
  torch::Tensor images;  ///< float32 [B, inputs]
  torch::Tensor labels;  ///< int64 [B]
};

class ImageDataset {
 public:
  explicit ImageDataset(IdxDataset data) : data_(std::move(data)) {}

  int64_t size() const { return static_cast<int64_t>(data_.count); }
  const IdxDataset& raw() const { return data_; }

  /// The images at `indices`, each pixel p as pixel_table[p] (core/model_config.h), on `device`.
  Batch batch(std::span<const int64_t> indices, const std::vector<float>& pixel_table,
              torch::Device device) const;

 private:
  IdxDataset data_;
};

/// Mean and standard deviation of all pixels as p/255, from exact integer sums. Throws Error if all pixels
/// are equal.
struct PixelStatistics {
  double mean;
  double std;
};
PixelStatistics pixel_statistics(const IdxDataset& data);

/// The order in which epoch `epoch` visits `count` samples: a permutation that depends on seed and epoch
/// alone (Fisher-Yates with mt19937_64), equal on every machine.
std::vector<int64_t> shuffled_order(int64_t count, uint64_t seed, int64_t epoch);

}  // namespace rotor::train
