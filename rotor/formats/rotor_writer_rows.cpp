// Tensors that are read, converted and written by pieces of rows: memory stays bounded however large they
// are, and all cores convert.
#include <algorithm>
#include <cmath>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/core/parallel.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/dtype.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {
namespace {

/// Rows of a piece: whole row tiles.
int64_t piece_rows(int64_t cols) {
  return rows_a_piece(cols, static_cast<int64_t>(kTileRows));
}

}  // namespace

void RotorWriter::write_rows(const std::vector<int64_t>& shape, const MakeRows& make) {
  parallel_rows_in_order(shape[0], piece_rows(shape.size() == 2 ? shape[1] : 1), make,
                         [&](std::span<const uint8_t> bytes) { append(bytes); });
}

void RotorWriter::write_dense(const TensorSpec& entry, DenseType type, const ReadFloats& read) {
  const int64_t rows = entry.shape[0];
  const auto cols = static_cast<size_t>(entry.shape[1]);
  if (type == DenseType::f16) {
    begin_tensor(entry.name);
    write_rows(entry.shape, [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
      std::vector<float> values(static_cast<size_t>(count) * cols);
      read(first, count, values);
      const auto large = std::ranges::find_if(values, [](float v) { return std::fabs(v) > 65504.0F; });
      if (large != values.end()) {
        fail(path_, ": tensor \"", entry.name, "\": value ",
             first * static_cast<int64_t>(cols) + (large - values.begin()), " is ", *large,
             ", more than float16 holds: keep ", config_.is_encoder() ? "it" : "the head", " as f32");
      }
      bytes.resize(values.size() * sizeof(uint16_t));
      std::ranges::transform(values, reinterpret_cast<uint16_t*>(bytes.data()), float_to_f16);
    });
    return end_tensor();
  }
  const bool screened = entry.name == screened_;
  std::vector<float> scales(static_cast<size_t>(rows));
  const int64_t step = piece_rows(entry.shape[1]);
  std::vector<ScreeningSums> sums(screened ? static_cast<size_t>((rows + step - 1) / step) : 0,
                                  ScreeningSums(cols));
  begin_tensor(entry.name);
  write_rows(entry.shape, [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
    bytes.resize(static_cast<size_t>(count) * cols);
    const std::span codes(reinterpret_cast<int8_t*>(bytes.data()), bytes.size());
    quantize_rows(read, first, count, codes, std::span(scales).subspan(static_cast<size_t>(first)));
    if (screened) {
      sums[static_cast<size_t>(first / step)].add(
          codes, std::span(scales).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
    }
  });
  end_tensor();
  write_tensor(scale_name(entry.name), float_bytes(scales));
  if (!screened) return;
  ScreeningSums all(cols);
  for (const ScreeningSums& part : sums) all.add(part);
  write_screen(entry, read, all.columns());
}

void RotorWriter::quantize_rows(const ReadFloats& read, int64_t first, int64_t count, std::span<int8_t> codes,
                                std::span<float> scales) {
  const size_t cols = codes.size() / static_cast<size_t>(count);
  const auto memory = std::make_unique_for_overwrite<float[]>(codes.size());
  const std::span values(memory.get(), codes.size());
  read(first, count, values);
  for (size_t r = 0; r < static_cast<size_t>(count); ++r) {
    scales[r] = quantize_q8(values.subspan(r * cols, cols), codes.subspan(r * cols, cols));
  }
}

/// Of the rows as they will be read, codes * scale: they are read and quantized once more.
void RotorWriter::write_screen(const TensorSpec& entry, const ReadFloats& read,
                               const ScreeningColumns& columns) {
  const auto rows = static_cast<size_t>(entry.shape[0]);
  const auto cols = static_cast<size_t>(entry.shape[1]);
  std::vector<float> screen_scales(rows);
  std::vector<float> errors(rows);
  const std::string name = screen_name(entry.name);
  begin_tensor(name);
  write_rows(entry.shape, [&](int64_t first, int64_t count, std::vector<uint8_t>& tiles) {
    const auto height = static_cast<size_t>(count);
    std::vector<int8_t> codes(height * cols);
    std::vector<float> scales(height);
    quantize_rows(read, first, count, codes, scales);
    for (size_t r = 0; r < height; ++r) {
      const auto row = std::span(codes).subspan(r * cols, cols);
      const ScreeningRow made = screen_row(row, scales[r], columns, row);
      screen_scales[static_cast<size_t>(first) + r] = made.scale;
      errors[static_cast<size_t>(first) + r] = made.error;
    }
    tiles.resize(tile_bytes(height, cols));
    pack_tiles(codes, height, cols, tiles);
  });
  end_tensor();
  write_tensor(name + "_scale", float_bytes(screen_scales));
  write_tensor(name + "_error", float_bytes(errors));
  write_tensor(name + "_mean", float_bytes(columns.mean));
  write_tensor(name + "_spread", float_bytes(columns.spread));
}

}  // namespace rotor
