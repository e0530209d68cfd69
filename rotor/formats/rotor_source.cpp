// Rows out of tiles and of dense matrices.
#include "rotor/formats/rotor_source.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/dtype.h"

namespace rotor {

RotorSource::RotorSource(const std::string& path) : file_(path) {
  file_.check();
}

std::string RotorSource::format() const {
  const ModelConfig& model = config();
  const DenseFormat& dense = file_.dense_format();
  if (model.is_encoder()) return cat("rotor, layers ", name(dense.layers), ", embeddings ", name(dense.type));
  if (!model.is_transformer()) return "rotor";
  return cat("rotor, head ", model.transformer.ternary_head ? "ternary" : name(dense.type));
}

size_t RotorSource::stored_bytes(const TensorSpec& spec) const {
  const TensorInfo& tensor = file_.container().at(spec.name);
  return tensor.end - tensor.begin;
}

float RotorSource::scale(const TensorSpec& spec) const {
  return file_.ternary(spec.name).scale;
}

void RotorSource::read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                             std::span<int8_t> trits) const {
  const TernaryMatrix matrix = file_.ternary(spec.name);
  const auto cols = static_cast<size_t>(matrix.cols);
  const size_t band_bytes = column_tiles(cols) * kTileBytes;
  const auto begin = static_cast<size_t>(first);
  const size_t skipped = begin % kTileRows;
  const size_t count = skipped + static_cast<size_t>(rows);  // from the band's first row on
  const auto tiles = matrix.tiles.subspan(begin / kTileRows * band_bytes, row_tiles(count) * band_bytes);
  if (skipped == 0) {
    unpack_tiles(tiles, count, cols, trits);
  } else {
    std::vector<int8_t> band(count * cols);
    unpack_tiles(tiles, count, cols, band);
    std::ranges::copy(std::span(band).subspan(skipped * cols), trits.begin());
  }
  file_.check_intact();
}

void RotorSource::read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                             std::span<uint8_t> tiles) const {
  const TernaryMatrix matrix = file_.ternary(spec.name);
  const size_t band_bytes = column_tiles(static_cast<size_t>(matrix.cols)) * kTileBytes;
  const size_t begin = static_cast<size_t>(first) / kTileRows * band_bytes;
  std::ranges::copy(matrix.tiles.subspan(begin, row_tiles(static_cast<size_t>(rows)) * band_bytes),
                    tiles.begin());
  file_.check_intact();
}

void RotorSource::read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                              std::span<float> values) const {
  const size_t cols = spec.shape.size() == 2 ? static_cast<size_t>(spec.shape[1]) : 1;
  const size_t begin = static_cast<size_t>(first) * cols;
  values = values.first(static_cast<size_t>(rows) * cols);
  if (file_.container().at(spec.name).dtype == DType::f32) {
    std::ranges::copy(file_.floats(spec.name).subspan(begin, values.size()), values.begin());
    return file_.check_intact();
  }
  const DenseMatrix matrix = file_.dense(spec.name);
  const uint8_t* data = matrix.data + begin * dense_bytes(matrix.type);
  if (matrix.type == DenseType::q8) {
    const auto* codes = reinterpret_cast<const int8_t*>(data);
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      const float scale = matrix.row_scales[static_cast<size_t>(first) + r];
      for (size_t c = 0; c < cols; ++c) {
        values[r * cols + c] = static_cast<float>(codes[r * cols + c]) * scale;
      }
    }
  } else {
    floats_from(DType::f16, {data, values.size() * dense_bytes(matrix.type)}, values);
  }
  file_.check_intact();
}

}  // namespace rotor
