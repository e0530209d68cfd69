// Batches, statistics and shuffling.
#include "train/data/image_dataset.h"

#include <cmath>
#include <numeric>
#include <random>

#include "rotor/core/error.h"

namespace rotor::train {

Batch ImageDataset::batch(std::span<const int64_t> indices, const std::vector<float>& pixel_table,
                          torch::Device device) const {
  const size_t inputs = data_.image_size();
  const auto count = static_cast<int64_t>(indices.size());
  torch::Tensor images = torch::empty({count, static_cast<int64_t>(inputs)});
  torch::Tensor labels = torch::empty({count}, torch::kInt64);
  float* out = images.data_ptr<float>();
  for (size_t i = 0; i < indices.size(); ++i) {
    const auto index = static_cast<size_t>(indices[i]);
    const uint8_t* pixels = data_.pixels.data() + index * inputs;
    for (size_t p = 0; p < inputs; ++p) out[i * inputs + p] = pixel_table[pixels[p]];
    labels.data_ptr<int64_t>()[i] = data_.labels[index];
  }
  return {images.to(device), labels.to(device)};
}

PixelStatistics pixel_statistics(const IdxDataset& data) {
  uint64_t sum = 0;
  uint64_t sum_of_squares = 0;
  for (const uint8_t p : data.pixels) {
    sum += p;
    sum_of_squares += uint64_t{p} * p;
  }
  const auto count = static_cast<double>(data.pixels.size());
  const double mean = static_cast<double>(sum) / count / 255.0;
  const double variance = static_cast<double>(sum_of_squares) / count / (255.0 * 255.0) - mean * mean;
  if (!(variance > 0)) fail("the training images hold one grey value only: nothing to normalise or learn");
  return {mean, std::sqrt(variance)};
}

std::vector<int64_t> shuffled_order(int64_t count, uint64_t seed, int64_t epoch) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  std::mt19937_64 random(mix_seed(seed, static_cast<uint64_t>(epoch)));
  for (size_t i = order.size(); i > 1; --i) {
    // The bias of the remainder is below 2^-40 for any data set that fits in memory.
    std::swap(order[i - 1], order[random() % i]);
  }
  return order;
}

}  // namespace rotor::train
