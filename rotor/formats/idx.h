// IDX files: the images and labels of MNIST and its relatives, plain or gzip-compressed.
// Format: big-endian magic (0, 0, type 8 = unsigned byte, number of dimensions), 32-bit sizes, data (LeCun's
// MNIST page).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rotor {

/// Grey images and their classes.
struct IdxDataset {
  size_t count = 0;
  size_t image_rows = 0;
  size_t image_cols = 0;
  std::vector<uint8_t> pixels;  // [count, image_rows * image_cols]
  std::vector<uint8_t> labels;  // [count]

  size_t image_size() const { return image_rows * image_cols; }
};

enum class IdxSplit { train, test };

/// Reads `directory`/{train,t10k}-{images-idx3,labels-idx1}-ubyte, or the same with .gz.
/// Throws Error naming file, field, expected and found: missing file, wrong magic, truncated, too long,
/// counts that differ.
IdxDataset load_idx(const std::string& directory, IdxSplit split);

/// Throws Error if there are no images, if they have not `expected_size` pixels, or if a label is not below
/// `num_classes`.
void check_idx(const IdxDataset& data, const std::string& directory, int64_t expected_size,
               int64_t num_classes);

}  // namespace rotor
