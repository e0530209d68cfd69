// Each op computes twice, once by each set, into buffers that are then compared whole.
#include "rotor/kernels/self_check.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "rotor/core/mix_seed.h"
#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"

namespace rotor::kernels {
namespace {

constexpr size_t kSizes[] = {1, 31, 64, 100, 257, 2560};
constexpr size_t kRows = 37;
constexpr size_t kBatch = 11;

/// Numbers that are the same on every machine.
class Numbers {
 public:
  uint64_t next() { return mix_seed(1, count_++); }

  template <class T>
  std::vector<T> integers(size_t count, int least, int most) {
    std::vector<T> values(count);
    for (T& v : values) {
      v = static_cast<T>(least + static_cast<int>(next() % static_cast<uint64_t>(most - least + 1)));
    }
    return values;
  }
  /// From -4 to 4.
  std::vector<float> floats(size_t count) {
    std::vector<float> values(count);
    for (float& v : values) v = static_cast<float>(next() >> 40) * 0x1p-21F - 4.0F;
    return values;
  }

 private:
  uint64_t count_ = 0;
};

/// What an op wrote: its outputs, one after the other.
class Output {
 public:
  template <class T>
  void add(const std::vector<T>& values) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    bytes_.insert(bytes_.end(), bytes, bytes + values.size() * sizeof(T));
  }
  template <class T>
  void add_value(T value) {
    add(std::vector<T>{value});
  }
  bool operator==(const Output&) const = default;

 private:
  std::vector<uint8_t> bytes_;
};

/// All inputs of one size.
struct Inputs {
  explicit Inputs(size_t columns)
      : cols(columns),
        x(numbers.floats(columns)),
        gain(numbers.floats(columns)),
        trits(numbers.integers<int8_t>(columns, -1, 1)),
        weights(numbers.integers<int8_t>(kRows * columns, -1, 1)),
        tiles(tile_bytes(kRows, columns)),
        codes(numbers.integers<int8_t>(kRows * columns, -127, 127)),
        matrix(numbers.floats(kRows * columns)),
        row_values(numbers.floats(kRows)),
        x16(numbers.integers<int16_t>(columns, -32767, 32767)),
        planes(columns),
        tokens(kBatch * padded(), 0) {
    pack_tiles(weights, kRows, cols, tiles);
    planes = encode_trits(trits);
    for (size_t b = 0; b < kBatch; ++b) {
      const auto token = numbers.integers<int8_t>(cols, -128, 127);
      std::copy(token.begin(), token.end(), tokens.begin() + static_cast<std::ptrdiff_t>(b * padded()));
    }
  }
  size_t padded() const { return column_tiles(cols) * kTileColumns; }

  Numbers numbers;
  size_t cols;
  std::vector<float> x, gain;
  std::vector<int8_t> trits, weights;
  std::vector<uint8_t> tiles;
  std::vector<int8_t> codes;
  std::vector<float> matrix, row_values;
  std::vector<int16_t> x16;
  TernaryVector planes;
  std::vector<int8_t> tokens;
};

using Run = std::function<Output(const KernelSet&, const Inputs&)>;

Output run_batch(const KernelSet& k, const Inputs& in) {
  constexpr size_t kBlocks = (kBatch + kTokenBlock - 1) / kTokenBlock;
  std::vector<int8_t> blocks(kBlocks * kTokenBlock * in.padded());
  std::vector<int32_t> token_sums(kBatch);
  k.arrange_tokens(in.tokens.data(), column_tiles(in.cols), kBatch, blocks.data(), token_sums.data());
  std::vector<int32_t> sums(kBatch * row_tiles(kRows) * kTileRows);
  k.matmul_int8(in.tiles.data(), row_tiles(kRows), column_tiles(in.cols), blocks.data(), token_sums.data(),
                kBatch, sums.data());
  Output out;
  out.add(blocks);
  out.add(token_sums);
  out.add(sums);
  return out;
}

std::vector<uint16_t> halves_of(const KernelSet& k, const std::vector<float>& values) {
  std::vector<uint16_t> halves(values.size());
  k.to_f16(values.data(), values.size(), halves.data());
  return halves;
}

/// An op that writes `count` values of type T through work(pointer); what it returns is kept too.
template <class T, class Work>
Output writes(size_t count, const Work& work) {
  std::vector<T> values(count);
  Output out;
  if constexpr (std::is_void_v<decltype(work(values.data()))>) {
    work(values.data());
  } else {
    out.add_value(work(values.data()));
  }
  out.add(values);
  return out;
}

std::vector<std::pair<const char*, Run>> all_ops() {
  using Set = const KernelSet&;
  using In = const Inputs&;
  const size_t padded_rows = row_tiles(kRows) * kTileRows;
  const size_t tile_rows = row_tiles(kRows);
  return {
      {"quantize_int8",
       [](Set k, In in) {
         return writes<int8_t>(in.cols, [&](int8_t* y) { return k.quantize_int8(in.x.data(), in.cols, y); });
       }},
      {"quantize_int16",
       [](Set k, In in) {
         return writes<int16_t>(in.cols,
                                [&](int16_t* y) { return k.quantize_int16(in.x.data(), in.cols, y); });
       }},
      {"ternarize",
       [](Set k, In in) {
         const size_t words = plane_words(in.cols);
         return writes<uint32_t>(2 * words,
                                 [&](uint32_t* y) { k.ternarize(in.x.data(), in.cols, 1.0F, y, y + words); });
       }},
      {"encode_trits",
       [](Set k, In in) {
         const size_t words = plane_words(in.cols);
         return writes<uint32_t>(2 * words, [&](uint32_t* y) {
           return int{k.encode_trits(in.trits.data(), in.cols, y, y + words)};
         });
       }},
      {"decode_trits",
       [](Set k, In in) {
         return writes<int8_t>(in.cols, [&](int8_t* y) {
           k.decode_trits(in.planes.plus.data(), in.planes.minus.data(), in.cols, y);
         });
       }},
      {"dot_ternary",
       [](Set k, In in) {
         Output out;
         out.add_value(k.dot_ternary(in.planes.plus.data(), in.planes.minus.data(), in.planes.minus.data(),
                                     in.planes.plus.data(), in.planes.plus.size()));
         return out;
       }},
      {"dot_int8",
       [](Set k, In in) {
         Output out;
         out.add_value(k.dot_int8(in.planes.plus.data(), in.planes.minus.data(), in.tokens.data(),
                                  in.planes.plus.size()));
         return out;
       }},
      {"matvec_int8",
       [=](Set k, In in) {
         return writes<int32_t>(padded_rows, [&](int32_t* y) {
           k.matvec_int8(in.tiles.data(), tile_rows, column_tiles(in.cols), in.tokens.data(), y);
         });
       }},
      {"arrange_tokens, matmul_int8", run_batch},
      {"scale_sums",
       [](Set k, In in) {
         std::vector<int32_t> sums(in.x16.begin(), in.x16.end());
         return writes<float>(in.cols, [&](float* y) {
           k.scale_sums(sums.data(), in.cols, 0.3F, false, y);
           k.scale_sums(sums.data(), in.cols, 0.7F, true, y);
         });
       }},
      {"matvec_ternary",
       [=](Set k, In in) {
         return writes<int32_t>(padded_rows, [&](int32_t* y) {
           k.matvec_ternary(in.tiles.data(), tile_rows, column_tiles(in.cols), in.planes.plus.data(),
                            in.planes.minus.data(), y);
         });
       }},
      {"matvec_float",
       [](Set k, In in) {
         return writes<float>(
             kRows, [&](float* y) { k.matvec_float(in.matrix.data(), kRows, in.cols, in.x.data(), y); });
       }},
      {"matvec_f16, to_f16",
       [](Set k, In in) {
         const auto halves = halves_of(k, in.matrix);
         return writes<float>(kRows,
                              [&](float* y) { k.matvec_f16(halves.data(), kRows, in.cols, in.x.data(), y); });
       }},
      {"matvec_q8",
       [](Set k, In in) {
         return writes<float>(2 * kRows, [&](float* y) {
           const float* scales = in.row_values.data();
           k.matvec_q8(in.codes.data(), scales, nullptr, kRows, in.cols, in.x16.data(), 1e-3F, y);
           int32_t ids[kRows];  // rows in another order
           for (size_t i = 0; i < kRows; ++i) ids[i] = static_cast<int32_t>((3 * i + 1) % kRows);
           k.matvec_q8(in.codes.data(), scales, ids, kRows, in.cols, in.x16.data(), 1e-3F, y + kRows);
         });
       }},
      {"weighted_sum_float",
       [](Set k, In in) {
         return writes<float>(in.cols, [&](float* y) {
           k.weighted_sum_float(in.matrix.data(), kRows, in.cols, in.row_values.data(), false, y);
           k.weighted_sum_float(in.matrix.data(), kRows, in.cols, in.row_values.data(), true, y);
         });
       }},
      {"weighted_sum_f16",
       [](Set k, In in) {
         const auto halves = halves_of(k, in.matrix);
         return writes<float>(in.cols, [&](float* y) {
           k.weighted_sum_f16(halves.data(), kRows, in.cols, in.row_values.data(), false, y);
         });
       }},
      {"weighted_sum_q8",
       [](Set k, In in) {
         return writes<float>(in.cols, [&](float* y) {
           k.weighted_sum_q8(in.codes.data(), in.row_values.data(), kRows, in.cols, in.row_values.data(),
                             false, y);
         });
       }},
      {"rms_norm",
       [](Set k, In in) {
         return writes<float>(in.cols,
                              [&](float* y) { k.rms_norm(in.x.data(), in.cols, in.gain.data(), 1e-5F, y); });
       }},
      {"softmax",
       [](Set k, In in) {
         return writes<float>(in.cols, [&](float* y) {
           std::copy(in.x.begin(), in.x.end(), y);
           k.softmax(y, in.cols, 9.0F);
         });
       }},
      {"gate_relu2",
       [](Set k, In in) {
         return writes<float>(in.cols,
                              [&](float* y) { k.gate_relu2(in.x.data(), in.gain.data(), in.cols, y); });
       }},
      {"sum_words",
       [](Set k, In in) {
         std::vector<uint64_t> words(in.x16.begin(), in.x16.end());
         Output out;
         out.add_value(k.sum_words(words.data(), words.size()));
         return out;
       }},
      {"from_f16",
       [](Set k, In in) {
         const auto halves = halves_of(k, in.matrix);
         return writes<float>(halves.size(), [&](float* y) { k.from_f16(halves.data(), halves.size(), y); });
       }},
  };
}

}  // namespace

std::vector<OpCheck> check_against_scalar(const KernelSet& set) {
  const KernelSet& scalar = *find_kernels("scalar").operator->();
  const auto ops = all_ops();
  std::vector<OpCheck> checks;
  for (const auto& [name, run] : ops) checks.push_back({name, true});
  for (const size_t size : kSizes) {
    const Inputs inputs(size);
    for (size_t i = 0; i < ops.size(); ++i) {
      if (ops[i].second(set, inputs) != ops[i].second(scalar, inputs)) checks[i].equal = false;
    }
  }
  return checks;
}

}  // namespace rotor::kernels
