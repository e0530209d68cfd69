// One function a kind of layer; a matrix that kernels cannot see at once is given to them in bands of rows.
#include "runtime/backends/gpu/gpu_linear.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "rotor/core/tiles.h"

namespace rotor::runtime::gpu {
namespace {

constexpr uint64_t kMatvecTokens = 2;  // more of them are worth a tiled product
constexpr uint32_t kDenseTokens = 4;   // that share what is read of a dense matrix

uint64_t col_tiles_of(const LinearWeights& weights) {
  return column_tiles(static_cast<size_t>(weights.cols));
}

/// Pieces of a ternary matrix by its rows of tiles.
std::vector<WeightStore::Piece> tile_rows(Context& context, const LinearWeights& weights) {
  return context.weights().find(weights.ternary.tiles, col_tiles_of(weights) * kTileBytes, kMostGroups);
}

void add_bias(Context& context, const Projection& projection) {
  const auto bias = projection.weights->bias;
  if (bias.empty()) return;
  const auto count = static_cast<uint64_t>(projection.y.rows * projection.y.cols);
  context.run_plain("add_bias", {context.floats(bias), Context::whole(projection.y)},
                    {count, projection.y.cols}, count);
}

/// A token batch's int8 codes, as the kernels want them.
struct Codes {
  Binding codes, scales, sums;
};

Codes quantize(Context& context, const LinearInput& input) {
  const Tensor& x = input.x;
  const auto tokens = static_cast<uint64_t>(x.rows);
  const uint64_t col_tiles = column_tiles(static_cast<size_t>(x.cols));
  const bool dot = context.info().dot_product;
  const Codes codes{context.scratch(Scratch::codes, tokens * col_tiles * (dot ? 32 : 64)),
                    context.scratch(Scratch::code_scales, tokens * sizeof(float)),
                    context.scratch(Scratch::code_sums, tokens * sizeof(int32_t))};
  const Kernel& kernel =
      context.kernel("quantize_int8", {{"SUBGROUPS", context.info().subgroup_sums}, {"DOT", dot}},
                     context.tuning().row_group, {{"KEPT", kept_words(x.cols, context.tuning().row_group)}});
  const bool normed = !input.norm.gain.empty();
  context.run(
      kernel,
      {Context::whole(x), input.up != nullptr ? Context::whole(*input.up) : context.nothing(),
       context.floats(input.norm.gain), codes.codes, codes.scales, codes.sums},
      {x.cols, col_tiles, input.up != nullptr, static_cast<uint32_t>(input.kind), normed, input.norm.eps},
      {tokens, 1, 1});
  return codes;
}

/// Bytes from the first of the pieces to the end of the last, if one command can have them all: at most three
/// in one buffer, none of them empty, and not too many.
std::optional<Binding> together(Context& context, std::span<const WeightStore::Piece> pieces) {
  if (pieces.size() > 3) return std::nullopt;
  Binding all = pieces.front().binding;
  uint64_t end = all.offset + all.size;
  uint64_t groups = 0;
  for (const auto& [binding, first, units] : pieces) {
    groups += units;
    if (units == 0 || groups > kMostGroups || binding.buffer != all.buffer) return std::nullopt;
    all.offset = std::min(all.offset, binding.offset);
    end = std::max(end, binding.offset + binding.size);
  }
  all.size = end - all.offset;
  if (all.size > context.info().largest_binding) return std::nullopt;
  return all;
}

/// Up to three matrices in one go.
void run_matvec(Context& context, const Codes& codes, const Binding& tiles,
                std::span<const WeightStore::Piece> pieces, std::span<const Projection> projections) {
  const Tuning& tuning = context.tuning();
  const bool dot = context.info().dot_product;
  const auto tokens = static_cast<uint64_t>(projections.front().y.rows);
  const uint32_t block = tokens > kMatvecTokens ? tuning.matmul_tokens : 1;
  const Kernel& kernel = context.kernel(
      "matvec_int8", {{"ROWS", dot ? std::min(tuning.matvec_rows, 4U) : tuning.matvec_rows}, {"DOT", dot}},
      tuning.matvec_group, {{"TOKENS", block}});
  std::array<Param, 3> first{0U, 0U, 0U}, end{0U, 0U, 0U}, rows{0U, 0U, 0U}, scale{0.0F, 0.0F, 0.0F};
  std::array<Binding, 3> y;
  uint64_t groups = 0;
  uint32_t add = 0;
  for (size_t i = 0; i < 3; ++i) {
    const bool used = i < projections.size();
    if (used) {
      const LinearWeights& weights = *projections[i].weights;
      first[i] = (pieces[i].binding.offset - tiles.offset) / sizeof(uint32_t);
      groups += pieces[i].units;
      rows[i] = weights.rows;
      scale[i] = weights.ternary.scale;
      add |= uint32_t{projections[i].add} << i;
    }
    end[i] = groups;
    y[i] = used ? Context::whole(projections[i].y) : context.nothing();
  }
  const uint64_t col_tiles = col_tiles_of(*projections.front().weights);
  context.run(kernel, {tiles, codes.codes, codes.scales, codes.sums, y[0], y[1], y[2]},
              {col_tiles, first[0], first[1], first[2], end[0], end[1], rows[0], rows[1], rows[2], scale[0],
               scale[1], scale[2], add, tokens},
              {groups, ceil_div(tokens, block), 1});
}

/// One matrix by bands, for many tokens.
void run_matmul(Context& context, const Codes& codes, const Projection& projection) {
  const LinearWeights& weights = *projection.weights;
  const uint32_t group = context.tuning().matmul_group;
  const Kernel& kernel = context.kernel("matmul_int8", {{"DOT", context.info().dot_product}}, group);
  const auto tokens = static_cast<uint64_t>(projection.y.rows);
  for (const auto& [tiles, first, units] : tile_rows(context, weights)) {
    const auto first_row = first * kTileRows;
    const uint64_t rows = std::min(units * kTileRows, static_cast<uint64_t>(weights.rows) - first_row);
    context.run(kernel, {tiles, codes.codes, codes.scales, codes.sums, Context::whole(projection.y)},
                {rows, col_tiles_of(weights), units, tokens, first_row, projection.y.cols,
                 weights.ternary.scale, projection.add},
                {ceil_div(units, 4), ceil_div(tokens, group / 4), 1});
  }
}

void linear_int8(Context& context, const LinearInput& input, std::span<const Projection> projections) {
  const Codes codes = quantize(context, input);
  if (std::cmp_greater(input.x.rows, kMatvecTokens) && context.tuning().matmul_tokens == 1) {
    for (const Projection& projection : projections) run_matmul(context, codes, projection);
    return;
  }
  // Matrices in one piece that lie together are one command; others are one each, or one a band.
  std::vector<WeightStore::Piece> pieces;
  for (const Projection& projection : projections) {
    const auto found = tile_rows(context, *projection.weights);
    pieces.push_back(found.size() == 1 ? found.front() : WeightStore::Piece{});
  }
  if (const auto tiles = together(context, pieces)) {
    return run_matvec(context, codes, *tiles, pieces, projections);
  }
  for (size_t i = 0; i < projections.size(); ++i) {
    const auto piece = std::span(pieces).subspan(i, 1);
    if (piece.front().units > 0) {
      run_matvec(context, codes, piece.front().binding, piece, projections.subspan(i, 1));
    } else {
      run_matmul(context, codes, projections[i]);
    }
  }
}

/// The input as floats: itself, or in scratch memory.
Binding prepared(Context& context, const LinearInput& input) {
  const Tensor& x = input.x;
  Binding values = Context::whole(x);
  const auto count = static_cast<uint64_t>(x.rows * x.cols);
  if (input.up == nullptr && input.norm.gain.empty()) return values;
  const Binding normed = context.scratch(Scratch::normed, count * sizeof(float));
  if (input.up != nullptr) {
    context.run_plain("activation", {values, Context::whole(*input.up), normed},
                      {count, static_cast<uint32_t>(input.kind), 0.0F, true}, count);
    values = normed;
  }
  if (!input.norm.gain.empty()) {
    const Kernel& kernel =
        context.kernel("rms_norm", {{"SUBGROUPS", context.info().subgroup_sums}}, context.tuning().row_group);
    context.run(kernel, {values, context.floats(input.norm.gain), normed}, {x.cols, input.norm.eps},
                {static_cast<uint64_t>(x.rows), 1, 1});
    values = normed;
  }
  return values;
}

void linear_ternary(Context& context, const Binding& x, int64_t tokens, const Projection& projection) {
  const LinearWeights& weights = *projection.weights;
  const uint64_t words = col_tiles_of(weights);
  const uint64_t all_words = words * static_cast<uint64_t>(tokens);
  const Binding planes = context.scratch(Scratch::planes, all_words * 2 * sizeof(uint32_t));
  const uint32_t plain = context.tuning().plain_group;
  context.run(context.kernel("ternarize", {}, plain), {x, planes},
              {weights.cols, words, all_words, weights.ternary_threshold},
              {ceil_div(all_words, plain), 1, 1});
  const uint32_t group = std::max(plain, 16U);
  for (const auto& [tiles, first, units] : tile_rows(context, weights)) {
    const uint64_t rows =
        std::min(units * kTileRows, static_cast<uint64_t>(weights.rows) - first * kTileRows);
    context.run(context.kernel("matvec_ternary", {}, group), {tiles, planes, Context::whole(projection.y)},
                {rows, words, first * kTileRows, projection.y.cols, weights.ternary.scale, projection.add},
                {units, static_cast<uint64_t>(tokens), 1});
  }
}

void linear_planes_float(Context& context, const Binding& x, int64_t tokens, const Projection& projection) {
  const LinearWeights& weights = *projection.weights;
  const uint32_t group = context.tuning().plain_group;
  for (const auto& [tiles, first, units] : tile_rows(context, weights)) {
    const uint64_t rows =
        std::min(units * kTileRows, static_cast<uint64_t>(weights.rows) - first * kTileRows);
    context.run(context.kernel("matvec_planes_float", {}, group), {tiles, x, Context::whole(projection.y)},
                {rows, weights.cols, col_tiles_of(weights), first * kTileRows, projection.y.cols,
                 weights.ternary.scale, projection.add},
                {ceil_div(rows, group), static_cast<uint64_t>(tokens), 1});
  }
}

void linear_dense(Context& context, const Binding& x, int64_t tokens, const Projection& projection) {
  const DenseMatrix& matrix = projection.weights->dense;
  const Tuning& tuning = context.tuning();
  const uint64_t row_bytes = static_cast<uint64_t>(matrix.cols) * dense_bytes(matrix.type);
  const uint32_t token_block = tokens > 1 ? kDenseTokens : 1;
  const uint32_t group_rows = tuning.dense_group / tuning.dense_lanes * tuning.dense_block;
  const Kernel& kernel =
      context.kernel("matvec_dense", {{"TYPE", static_cast<uint32_t>(matrix.type)}}, tuning.dense_group,
                     {{"LANES", tuning.dense_lanes},
                      {"BLOCK", tuning.dense_block},
                      {"TOKENS", token_block},
                      {"VECTORS", row_bytes % 16 == 0}});
  const Binding scales = context.floats(matrix.row_scales);
  const std::span bytes(matrix.data, static_cast<size_t>(matrix.rows) * row_bytes);
  for (const auto& [rows, first, units] :
       context.weights().find(bytes, row_bytes, kMostGroups * group_rows)) {
    context.run(kernel, {rows, scales, x, Context::whole(projection.y)},
                {units, matrix.cols, tokens, projection.y.cols, first, projection.add, projection.factor},
                {ceil_div(units, group_rows), ceil_div(static_cast<uint64_t>(tokens), token_block), 1});
  }
}

}  // namespace

uint32_t kept_words(int64_t cols, uint32_t group) {
  constexpr uint64_t kMost = 8;  // more would not stay in registers
  const uint64_t words = ceil_div(static_cast<uint64_t>(cols), uint64_t{4} * group);
  return static_cast<uint32_t>(words <= kMost ? words : 0);
}

void gpu_linear(Context& context, const LinearInput& input, std::span<const Projection> projections) {
  const LinearWeights& kind = *projections.front().weights;
  if (kind.is_ternary() && kind.activation_quantization == ActivationQuantization::int8_absmax) {
    linear_int8(context, input, projections);
  } else {
    const Binding x = prepared(context, input);
    for (const Projection& projection : projections) {
      if (!kind.is_ternary()) {
        linear_dense(context, x, input.x.rows, projection);
      } else if (kind.activation_quantization == ActivationQuantization::none) {
        linear_planes_float(context, x, input.x.rows, projection);
      } else {
        linear_ternary(context, x, input.x.rows, projection);
      }
    }
  }
  for (const Projection& projection : projections) add_bias(context, projection);
}

}  // namespace rotor::runtime::gpu
