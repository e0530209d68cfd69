// One function a kind of layer. Threads share the rows of the matrix, so each output is computed by one
// thread in one order.
#include "runtime/backends/cpu/cpu_linear.h"

#include <algorithm>

#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

using kernels::Kernels;

/// Rows of a dense matrix that are used for all tokens before the next ones are read.
constexpr int64_t kDenseBlock = 64;

/// Row tiles of a layer that one thread computes, and where their outputs start and end.
struct Band {
  Band(const LinearWeights& weights, int64_t begin, int64_t end)
      : tiles(static_cast<size_t>(end - begin)),
        first_row(begin * static_cast<int64_t>(kTileRows)),
        end_row(std::min(end * static_cast<int64_t>(kTileRows), weights.rows)),
        bytes(weights.ternary.tiles.data() +
              static_cast<size_t>(begin) * column_tiles(static_cast<size_t>(weights.cols)) * kTileBytes) {}

  size_t tiles;
  int64_t first_row;
  int64_t end_row;
  const uint8_t* bytes;
};

/// sums [band rows] to outputs of one token; `scale(sum)` gives the float.
template <class Scale>
void finish_rows(const int32_t* sums, const Band& band, const LinearWeights& weights, float* out,
                 Scale scale) {
  for (int64_t r = band.first_row; r < band.end_row; ++r) {
    out[r] = scale(static_cast<float>(sums[r - band.first_row]));
    if (!weights.bias.empty()) out[r] += weights.bias[static_cast<size_t>(r)];
  }
}

int64_t count_row_tiles(const LinearWeights& weights) {
  return static_cast<int64_t>(row_tiles(static_cast<size_t>(weights.rows)));
}

/// Row tiles that are worth a thread; a product of int8 costs an eighth of one of floats or so.
int64_t tile_grain(const LinearWeights& weights, int64_t tokens) {
  return grain_of(static_cast<int64_t>(kTileRows) * weights.cols * tokens / 8);
}

void linear_int8(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const LinearWeights& weights,
                 const Tensor& y) {
  const auto cols = static_cast<size_t>(x.cols);
  const auto batch = static_cast<size_t>(x.rows);
  const size_t col_tiles = column_tiles(cols);
  const size_t padded_cols = col_tiles * kTileColumns;
  int8_t* codes = scratch<int8_t, struct CodesOfInput>(batch * padded_cols);
  float* scales = scratch<float, struct ScalesOfInput>(batch);
  pool.parallel_for(x.rows, grain_of(2 * x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      int8_t* token = codes + static_cast<size_t>(b) * padded_cols;
      scales[b] = kernels->quantize_int8(row(x, b), cols, token);
      std::fill(token + cols, token + padded_cols, int8_t{0});
    }
  });
  pool.parallel_for(count_row_tiles(weights), tile_grain(weights, x.rows), [&](int64_t begin, int64_t end) {
    const Band band(weights, begin, end);
    int32_t* sums = scratch<int32_t, struct Sums>(batch * band.tiles * kTileRows);
    if (batch == 1) {
      kernels->matvec_int8(band.bytes, band.tiles, col_tiles, codes, sums);
    } else {
      kernels->matmul_int8(band.bytes, band.tiles, col_tiles, codes, batch, sums);
    }
    for (size_t b = 0; b < batch; ++b) {
      const float x_scale = scales[b];
      finish_rows(sums + b * band.tiles * kTileRows, band, weights, row(y, static_cast<int64_t>(b)),
                  [&](float sum) { return sum / x_scale * weights.ternary.scale; });
    }
  });
}

void linear_ternary(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const LinearWeights& weights,
                    const Tensor& y) {
  const auto cols = static_cast<size_t>(x.cols);
  const size_t words = plane_words(cols);
  uint32_t* plus = scratch<uint32_t, struct PlanesOfInput>(2 * words);
  uint32_t* minus = plus + words;
  for (int64_t b = 0; b < x.rows; ++b) {
    kernels->ternarize(row(x, b), cols, weights.ternary_threshold, plus, minus);
    pool.parallel_for(count_row_tiles(weights), tile_grain(weights, 1), [&](int64_t begin, int64_t end) {
      const Band band(weights, begin, end);
      int32_t* sums = scratch<int32_t, struct Sums>(band.tiles * kTileRows);
      kernels->matvec_ternary(band.bytes, band.tiles, words, plus, minus, sums);
      finish_rows(sums, band, weights, row(y, b), [&](float sum) { return sum * weights.ternary.scale; });
    });
  }
}

/// Planes times floats, by unpacking a row of tiles at a time: for comparisons without activation
/// quantization.
void linear_ternary_float(const Kernels& kernels, ThreadPool& pool, const Tensor& x,
                          const LinearWeights& weights, const Tensor& y) {
  const auto cols = static_cast<size_t>(x.cols);
  const size_t row_bytes = column_tiles(cols) * kTileBytes;
  pool.parallel_for(count_row_tiles(weights), tile_grain(weights, x.rows), [&](int64_t begin, int64_t end) {
    int8_t* codes = scratch<int8_t, struct CodesOfTile>(kTileRows * cols);
    const float ones[kTileRows] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (int64_t tile = begin; tile < end; ++tile) {
      const Band band(weights, tile, tile + 1);
      const auto rows = static_cast<size_t>(band.end_row - band.first_row);
      unpack_tiles({band.bytes, row_bytes}, rows, cols, {codes, rows * cols});
      for (int64_t b = 0; b < x.rows; ++b) {
        float* out = row(y, b) + band.first_row;
        kernels->matvec_q8(codes, ones, rows, cols, row(x, b), out);
        for (size_t r = 0; r < rows; ++r) {
          out[r] *= weights.ternary.scale;
          if (!weights.bias.empty()) out[r] += weights.bias[static_cast<size_t>(band.first_row) + r];
        }
      }
    }
  });
}

void matvec_dense(const Kernels& kernels, const DenseMatrix& matrix, int64_t first, int64_t end,
                  const float* x, float* y) {
  const auto cols = static_cast<size_t>(matrix.cols);
  const auto rows = static_cast<size_t>(end - first);
  const uint8_t* begin = matrix.data + static_cast<size_t>(first) * cols * dense_bytes(matrix.type);
  switch (matrix.type) {
    case DenseType::f32:
      return kernels->matvec_float(reinterpret_cast<const float*>(begin), rows, cols, x, y);
    case DenseType::f16:
      return kernels->matvec_f16(reinterpret_cast<const uint16_t*>(begin), rows, cols, x, y);
    case DenseType::q8:
      return kernels->matvec_q8(reinterpret_cast<const int8_t*>(begin), matrix.row_scales.data() + first,
                                rows, cols, x, y);
  }
}

void linear_dense(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const LinearWeights& weights,
                  const Tensor& y) {
  const int64_t blocks = (grain_of(x.rows * x.cols) + kDenseBlock - 1) / kDenseBlock;
  pool.parallel_for(weights.rows, blocks * kDenseBlock, [&](int64_t begin, int64_t end) {
    for (int64_t first = begin; first < end; first += kDenseBlock) {
      const int64_t last = std::min(first + kDenseBlock, end);
      for (int64_t b = 0; b < x.rows; ++b) {
        float* out = row(y, b);
        matvec_dense(kernels, weights.dense, first, last, row(x, b), out + first);
        if (weights.bias.empty()) continue;
        for (int64_t r = first; r < last; ++r) out[r] += weights.bias[static_cast<size_t>(r)];
      }
    }
  });
}

}  // namespace

void cpu_linear(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const LinearWeights& weights,
                const Tensor& y) {
  if (!weights.is_ternary()) return linear_dense(kernels, pool, x, weights, y);
  switch (weights.activation_quantization) {
    case ActivationQuantization::none:
      return linear_ternary_float(kernels, pool, x, weights, y);
    case ActivationQuantization::int8_absmax:
      return linear_int8(kernels, pool, x, weights, y);
    case ActivationQuantization::ternary_threshold:
      return linear_ternary(kernels, pool, x, weights, y);
  }
}

}  // namespace rotor::runtime
