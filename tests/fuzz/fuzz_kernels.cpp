// Every kernel set against scalar on any matrix, vector and size: equal, or the program aborts.
//   build/fuzz/bin/fuzz_kernels -max_total_time=60
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"

namespace {

using namespace rotor;

template <class T>
void require_equal(const std::vector<T>& a, const std::vector<T>& b, const char* what, const char* set) {
  if (a == b) return;
  std::fprintf(stderr, "%s of %s differs from scalar\n", what, set);
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4) return 0;
  const size_t rows = data[0] % 40 + 1U;
  const size_t cols = (data[1] * 4U + data[2]) % 700 + 1U;
  const size_t batch = data[3] % 9 + 1U;
  const auto byte = [&](size_t i) { return size > 4 ? data[4 + i % (size - 4)] : uint8_t{0}; };
  std::vector<int8_t> weights(rows * cols);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<int8_t>((byte(i) + i / (size - 3)) % 3) - 1;
  std::vector<uint8_t> tiles(tile_bytes(rows, cols));
  pack_tiles(weights, rows, cols, tiles);
  const size_t padded = column_tiles(cols) * kTileColumns;
  std::vector<int8_t> x(batch * padded);
  std::vector<float> floats(cols);
  for (size_t b = 0; b < batch; ++b) {
    for (size_t c = 0; c < cols; ++c) x[b * padded + c] = static_cast<int8_t>(byte(b * 31 + c));
  }
  for (size_t c = 0; c < cols; ++c) floats[c] = static_cast<float>(static_cast<int8_t>(byte(c))) / 7.0F;
  const size_t row_tile_count = row_tiles(rows);
  const size_t column_tile_count = column_tiles(cols);
  const auto scalar = kernels::find_kernels("scalar");
  const auto results = [&](const kernels::Kernels& k) {
    std::vector<int32_t> sums(batch * row_tile_count * kTileRows + 2 * row_tile_count * kTileRows);
    std::vector<int8_t> blocks((batch + kernels::kTokenBlock - 1) / kernels::kTokenBlock *
                               kernels::kTokenBlock * padded);
    std::vector<int32_t> token_sums(batch);
    k->arrange_tokens(x.data(), column_tile_count, batch, blocks.data(), token_sums.data());
    k->matmul_int8(tiles.data(), row_tile_count, column_tile_count, blocks.data(), token_sums.data(), batch,
                   sums.data());
    int32_t* rest = sums.data() + batch * row_tile_count * kTileRows;
    k->matvec_int8(tiles.data(), row_tile_count, column_tile_count, x.data(), rest);
    TernaryVector planes(cols);
    k->ternarize(floats.data(), cols, 3.0F, planes.plus.data(), planes.minus.data());
    k->matvec_ternary(tiles.data(), row_tile_count, column_tile_count, planes.plus.data(),
                      planes.minus.data(), rest + row_tile_count * kTileRows);
    std::vector<int8_t> codes(cols);
    const float scale = k->quantize_int8(floats.data(), cols, codes.data());
    int32_t scale_bits = 0;
    std::memcpy(&scale_bits, &scale, 4);
    sums.push_back(scale_bits);
    TernaryVector row(cols);
    k->encode_trits(weights.data(), cols, row.plus.data(), row.minus.data());
    sums.push_back(static_cast<int32_t>(k->dot_ternary(row.plus.data(), row.minus.data(), planes.plus.data(),
                                                       planes.minus.data(), row.plus.size())));
    sums.push_back(
        static_cast<int32_t>(k->dot_int8(row.plus.data(), row.minus.data(), x.data(), row.plus.size())));
    std::vector<int8_t> decoded(cols);
    k->decode_trits(row.plus.data(), row.minus.data(), cols, decoded.data());
    sums.insert(sums.end(), decoded.begin(), decoded.end());
    sums.insert(sums.end(), codes.begin(), codes.end());
    sums.insert(sums.end(), planes.plus.begin(), planes.plus.end());
    sums.insert(sums.end(), planes.minus.begin(), planes.minus.end());
    return sums;
  };
  const auto expected = results(scalar);
  for (auto& entry : kernels::registered_sets()) {
    if (entry.set->supported())
      require_equal(results(kernels::Kernels(entry)), expected, "a result", entry.set->name);
  }
  return 0;
}
