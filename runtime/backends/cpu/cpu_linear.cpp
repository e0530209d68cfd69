// One function a kind of layer. Threads share the rows of the matrices, so each output is computed by one
// thread in one order.
#include "runtime/backends/cpu/cpu_linear.h"

#include <algorithm>

#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

using kernels::Kernels;
using kernels::kTokenBlock;

/// Rows of a dense matrix that are used for all tokens before the next ones are read.
constexpr int64_t kDenseBlock = 64;
/// Row tiles whose sums with a batch of tokens are kept before they become outputs.
constexpr int64_t kSumTiles = 6;

/// Row tiles of a layer that one thread computes, and where their outputs start and end.
struct Band {
  Band(const LinearWeights& weights, int64_t begin, int64_t end)
      : tiles(static_cast<size_t>(end - begin)),
        first_row(begin * static_cast<int64_t>(kTileRows)),
        end_row(std::min(end * static_cast<int64_t>(kTileRows), weights.rows)),
        bytes(weights.ternary.tiles.data() +
              static_cast<size_t>(begin) * column_tiles(static_cast<size_t>(weights.cols)) * kTileBytes) {}

  size_t rows() const { return static_cast<size_t>(end_row - first_row); }

  size_t tiles;
  int64_t first_row;
  int64_t end_row;
  const uint8_t* bytes;
};

int64_t count_row_tiles(const LinearWeights& weights) {
  return static_cast<int64_t>(row_tiles(static_cast<size_t>(weights.rows)));
}

/// Row tiles that are worth a thread; a product of int8 costs an eighth of one of floats or so.
int64_t tile_grain(int64_t cols, int64_t tokens) {
  return grain_of(static_cast<int64_t>(kTileRows) * cols * tokens / 8);
}

/// Outputs of rows from `first` on of one token: sums * factor, with the bias.
void finish_sums(const kernels::KernelSet& kernels, const int32_t* sums, const Band& band,
                 const Projection& projection, int64_t token, float factor) {
  float* out = row(projection.y, token) + band.first_row;
  kernels.scale_sums(sums, band.rows(), factor, projection.add, out);
  if (projection.weights->bias.empty()) return;
  const float* bias = projection.weights->bias.data() + band.first_row;
  for (size_t r = 0; r < band.rows(); ++r) out[r] += bias[r];
}

/// Outputs from `first` on of one token, already scaled.
void finish_values(const float* values, int64_t first, int64_t count, const Projection& projection,
                   int64_t token) {
  float* out = row(projection.y, token) + first;
  const auto bias = projection.weights->bias;
  for (int64_t r = 0; r < count; ++r) {
    const float product = projection.factor * values[r];
    const float value = bias.empty() ? product : product + bias[static_cast<size_t>(first + r)];
    out[r] = projection.add ? out[r] + value : value;
  }
}

/// Calls work(projection, begin, end) for the row tiles of all layers, shared among the threads.
template <class Work>
void for_row_tiles(ThreadPool& pool, std::span<const Projection> projections, int64_t grain,
                   const Work& work) {
  int64_t all = 0;
  for (const Projection& projection : projections) all += count_row_tiles(*projection.weights);
  pool.parallel_for(all, grain, [&](int64_t begin, int64_t end) {
    int64_t first = 0;
    for (const Projection& projection : projections) {
      const int64_t count = count_row_tiles(*projection.weights);
      const int64_t from = std::max<int64_t>(begin - first, 0);
      const int64_t to = std::min(end - first, count);
      if (from < to) work(projection, from, to);
      first += count;
    }
  });
}

/// The normalised input [rows, cols] as floats; the input itself if there is no norm.
const float* normalise(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const InputNorm& norm) {
  if (norm.gain.empty()) return data(x);
  const auto cols = static_cast<size_t>(x.cols);
  float* normed = scratch<float, struct NormedInput>(static_cast<size_t>(x.rows) * cols);
  pool.parallel_for(x.rows, grain_of(x.cols), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      kernels->rms_norm(row(x, b), cols, norm.gain.data(), norm.eps, normed + static_cast<size_t>(b) * cols);
    }
  });
  return normed;
}

/// Codes of one token, padded with zeros to whole tiles. Returns the scale.
float quantize_token(const Kernels& kernels, const float* x, const InputNorm& norm, size_t cols,
                     size_t padded_cols, int8_t* codes) {
  if (!norm.gain.empty()) {
    float* normed = scratch<float, struct NormedToken>(cols);
    kernels->rms_norm(x, cols, norm.gain.data(), norm.eps, normed);
    x = normed;
  }
  std::fill(codes + cols, codes + padded_cols, int8_t{0});
  return kernels->quantize_int8(x, cols, codes);
}

void matvec_int8(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const InputNorm& norm,
                 std::span<const Projection> projections) {
  const auto cols = static_cast<size_t>(x.cols);
  const size_t col_tiles = column_tiles(cols);
  int8_t* codes = scratch<int8_t, struct CodesOfInput>(col_tiles * kTileColumns);
  const float x_scale = quantize_token(kernels, data(x), norm, cols, col_tiles * kTileColumns, codes);
  for_row_tiles(pool, projections, tile_grain(x.cols, 1),
                [&](const Projection& projection, int64_t begin, int64_t end) {
                  const Band band(*projection.weights, begin, end);
                  int32_t* sums = scratch<int32_t, struct Sums>(band.tiles * kTileRows);
                  kernels->matvec_int8(band.bytes, band.tiles, col_tiles, codes, sums);
                  finish_sums(*kernels.operator->(), sums, band, projection, 0,
                              projection.weights->ternary.scale / x_scale);
                });
}

void matmul_int8(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const InputNorm& norm,
                 std::span<const Projection> projections) {
  const auto cols = static_cast<size_t>(x.cols);
  const auto batch = static_cast<size_t>(x.rows);
  const size_t col_tiles = column_tiles(cols);
  const size_t padded_cols = col_tiles * kTileColumns;
  const size_t token_blocks = (batch + kTokenBlock - 1) / kTokenBlock;
  int8_t* blocks = scratch<int8_t, struct BlocksOfInput>(token_blocks * kTokenBlock * padded_cols);
  float* x_scales = scratch<float, struct ScalesOfInput>(batch);
  int32_t* token_sums = scratch<int32_t, struct TokenSums>(batch);
  pool.parallel_for(static_cast<int64_t>(token_blocks), 1, [&](int64_t begin, int64_t end) {
    int8_t* codes = scratch<int8_t, struct CodesOfBlock>(kTokenBlock * padded_cols);
    for (auto block = static_cast<size_t>(begin); block < static_cast<size_t>(end); ++block) {
      const size_t first = block * kTokenBlock;
      const size_t tokens = std::min(kTokenBlock, batch - first);
      for (size_t t = 0; t < tokens; ++t) {
        x_scales[first + t] = quantize_token(kernels, row(x, static_cast<int64_t>(first + t)), norm, cols,
                                             padded_cols, codes + t * padded_cols);
      }
      kernels->arrange_tokens(codes, col_tiles, tokens, blocks + first * padded_cols, token_sums + first);
    }
  });
  const int64_t grain = (tile_grain(x.cols, x.rows) + kSumTiles - 1) / kSumTiles * kSumTiles;
  for_row_tiles(pool, projections, grain, [&](const Projection& projection, int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; tile += kSumTiles) {
      const Band band(*projection.weights, tile, std::min(tile + kSumTiles, end));
      const size_t stride = band.tiles * kTileRows;
      const kernels::KernelSet& set = *kernels.operator->();
      int32_t* sums = scratch<int32_t, struct Sums>(batch * stride);
      kernels->matmul_int8(band.bytes, band.tiles, col_tiles, blocks, token_sums, batch, sums);
      for (size_t b = 0; b < batch; ++b) {
        finish_sums(set, sums + b * stride, band, projection, static_cast<int64_t>(b),
                    projection.weights->ternary.scale / x_scales[b]);
      }
    }
  });
}

void linear_ternary(const Kernels& kernels, ThreadPool& pool, const float* x, size_t cols,
                    const Projection& projection) {
  const LinearWeights& weights = *projection.weights;
  const size_t words = plane_words(cols);
  uint32_t* plus = scratch<uint32_t, struct PlanesOfInput>(2 * words);
  uint32_t* minus = plus + words;
  for (int64_t b = 0; b < projection.y.rows; ++b) {
    kernels->ternarize(x + static_cast<size_t>(b) * cols, cols, weights.ternary_threshold, plus, minus);
    for_row_tiles(pool, {&projection, 1}, tile_grain(weights.cols, 1),
                  [&](const Projection& layer, int64_t begin, int64_t end) {
                    const Band band(weights, begin, end);
                    int32_t* sums = scratch<int32_t, struct Sums>(band.tiles * kTileRows);
                    kernels->matvec_ternary(band.bytes, band.tiles, words, plus, minus, sums);
                    finish_sums(*kernels.operator->(), sums, band, layer, b, weights.ternary.scale);
                  });
  }
}

/// Planes times floats, by unpacking a row of tiles at a time: for comparisons without activation
/// quantization.
void linear_ternary_float(const Kernels& kernels, ThreadPool& pool, const float* x, size_t cols,
                          const Projection& projection) {
  const LinearWeights& weights = *projection.weights;
  const size_t row_bytes = column_tiles(cols) * kTileBytes;
  for_row_tiles(pool, {&projection, 1}, tile_grain(weights.cols, projection.y.rows),
                [&](const Projection& layer, int64_t begin, int64_t end) {
                  int8_t* codes = scratch<int8_t, struct CodesOfTile>(kTileRows * cols);
                  float* matrix = scratch<float, struct WeightsOfTile>(kTileRows * cols);
                  float values[kTileRows];
                  for (int64_t tile = begin; tile < end; ++tile) {
                    const Band band(weights, tile, tile + 1);
                    unpack_tiles({band.bytes, row_bytes}, band.rows(), cols, {codes, band.rows() * cols});
                    std::copy_n(codes, band.rows() * cols, matrix);
                    for (int64_t b = 0; b < layer.y.rows; ++b) {
                      kernels->matvec_float(matrix, band.rows(), cols, x + static_cast<size_t>(b) * cols,
                                            values);
                      for (float& value : values) value *= weights.ternary.scale;
                      finish_values(values, band.first_row, static_cast<int64_t>(band.rows()), layer, b);
                    }
                  }
                });
}

/// A dense layer's input: floats, and int16 codes with a scale a token for matrices in int8.
struct DenseInput {
  const float* values;
  const int16_t* codes;
  const float* scales;
};

void matvec_dense(const Kernels& kernels, const DenseMatrix& matrix, int64_t first, int64_t count,
                  const DenseInput& x, size_t token, float* y) {
  const auto cols = static_cast<size_t>(matrix.cols);
  const auto rows = static_cast<size_t>(count);
  const uint8_t* begin = matrix.data + static_cast<size_t>(first) * cols * dense_bytes(matrix.type);
  switch (matrix.type) {
    case DenseType::f32:
      return kernels->matvec_float(reinterpret_cast<const float*>(begin), rows, cols, x.values + token * cols,
                                   y);
    case DenseType::f16:
      return kernels->matvec_f16(reinterpret_cast<const uint16_t*>(begin), rows, cols,
                                 x.values + token * cols, y);
    case DenseType::q8:
      return kernels->matvec_q8(reinterpret_cast<const int8_t*>(begin), matrix.row_scales.data() + first,
                                nullptr, rows, cols, x.codes + token * cols, x.scales[token], y);
  }
}

int64_t count_dense_blocks(const Projection& projection) {
  return (projection.weights->rows + kDenseBlock - 1) / kDenseBlock;
}

/// Rows `first` on of a layer, at most a block of them, for all tokens.
void finish_dense_block(const Kernels& kernels, const Projection& projection, int64_t first,
                        const DenseInput& x) {
  const LinearWeights& weights = *projection.weights;
  const int64_t count = std::min(kDenseBlock, weights.rows - first);
  float part[kDenseBlock];
  for (int64_t b = 0; b < projection.y.rows; ++b) {
    matvec_dense(kernels, weights.dense, first, count, x, static_cast<size_t>(b), part);
    finish_values(part, first, count, projection, b);
  }
}

/// The blocks of all layers, shared among the threads.
void linear_dense(const Kernels& kernels, ThreadPool& pool, const float* values,
                  std::span<const Projection> projections) {
  const auto tokens = static_cast<size_t>(projections.front().y.rows);
  const auto cols = static_cast<size_t>(projections.front().weights->cols);
  DenseInput x{values, nullptr, nullptr};
  if (std::ranges::any_of(projections, [](const Projection& projection) {
        return projection.weights->dense.type == DenseType::q8;
      })) {
    int16_t* codes = scratch<int16_t, struct Codes16OfInput>(tokens * cols);
    float* scales = scratch<float, struct Scales16OfInput>(tokens);
    pool.parallel_for(static_cast<int64_t>(tokens), grain_of(projections.front().weights->cols),
                      [&](int64_t begin, int64_t end) {
                        for (auto b = static_cast<size_t>(begin); b < static_cast<size_t>(end); ++b) {
                          scales[b] = kernels->quantize_int16(values + b * cols, cols, codes + b * cols);
                        }
                      });
    x.codes = codes;
    x.scales = scales;
  }
  int64_t all = 0;
  for (const Projection& projection : projections) all += count_dense_blocks(projection);
  const int64_t grain = (grain_of(static_cast<int64_t>(tokens * cols)) + kDenseBlock - 1) / kDenseBlock;
  pool.parallel_for(all, grain, [&](int64_t begin, int64_t end) {
    int64_t before = 0;  // blocks of the layers so far
    for (const Projection& projection : projections) {
      const int64_t count = count_dense_blocks(projection);
      const int64_t last = std::min(end - before, count);
      for (int64_t block = std::max<int64_t>(begin - before, 0); block < last; ++block) {
        finish_dense_block(kernels, projection, block * kDenseBlock, x);
      }
      before += count;
    }
  });
}

}  // namespace

void cpu_linear(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const InputNorm& norm,
                std::span<const Projection> projections) {
  const LinearWeights& kind = *projections.front().weights;
  if (kind.is_ternary() && kind.activation_quantization == ActivationQuantization::int8_absmax) {
    return x.rows == 1 ? matvec_int8(kernels, pool, x, norm, projections)
                       : matmul_int8(kernels, pool, x, norm, projections);
  }
  const float* values = normalise(kernels, pool, x, norm);
  if (!kind.is_ternary()) return linear_dense(kernels, pool, values, projections);
  const auto cols = static_cast<size_t>(x.cols);
  for (const Projection& projection : projections) {
    if (kind.activation_quantization == ActivationQuantization::none) {
      linear_ternary_float(kernels, pool, values, cols, projection);
    } else {
      linear_ternary(kernels, pool, values, cols, projection);
    }
  }
}

}  // namespace rotor::runtime
