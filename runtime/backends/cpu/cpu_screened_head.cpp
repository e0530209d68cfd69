// Estimates of all logits from the planes; the estimates' error, measured on rows that are read whatever the
// input is; a threshold from the best estimates' true logits; then the rows that can reach it.
#include "runtime/backends/cpu/cpu_screened_head.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "rotor/core/screening.h"
#include "rotor/core/tiles.h"
#include "runtime/backends/cpu/memory.h"

namespace rotor::runtime {
namespace {

using kernels::Kernels;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// How far above its estimate a logit may lie, in standard deviations. A wanted row is missed only if its
/// error is larger than that: of a normal distribution, with a deviation that is measured on some hundred
/// rows, less than once in a million.
constexpr float kDeviations = 5.0F;
/// Tiles of rows whose logits are computed for every token, to hold the estimates against: one in 32, but no
/// fewer than the first and no more than the second number.
constexpr int64_t kFewestControls = 16;
constexpr int64_t kMostControls = 32;
/// A head of fewer rows, or one of whose rows more than this share can matter, is read whole.
constexpr int64_t kFewestRows = 1024;
constexpr int64_t kLargestShare = 2;  // a half

constexpr auto kTileHeight = static_cast<int64_t>(kTileRows);

/// Rows with the best estimates whose logits are computed first: more than are wanted, since the order is
/// only an estimate.
int64_t rows_to_try(int64_t wanted) {
  return 4 * wanted + 28;
}

class Screening {
 public:
  Screening(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const ScreenedHead& head,
            const WantedLogits& wanted)
      : kernels_(kernels),
        pool_(pool),
        head_(head),
        rows_(std::min(wanted.limit, head.weights->rows)),
        tiles_(static_cast<int64_t>(row_tiles(static_cast<size_t>(rows_)))),
        cols_(static_cast<size_t>(x.cols)),
        col_tiles_(column_tiles(cols_)),
        codes_(scratch<int8_t, struct ScreenCodes>(col_tiles_ * kTileColumns)),
        x16_(scratch<int16_t, struct ScreenCodes16>(cols_)),
        estimates_(scratch<float, struct ScreenEstimates>(static_cast<size_t>(tiles_) * kTileRows)),
        bests_(scratch<float, struct ScreenBests>(static_cast<size_t>(tiles_))),
        bounds_(scratch<float, struct ScreenBounds>(static_cast<size_t>(tiles_))),
        candidates_(
            scratch<int32_t, struct ScreenRows>(static_cast<size_t>(tiles_) * kTileRows + wanted.ids.size())),
        logits_(scratch<float, struct ScreenLogits>(static_cast<size_t>(tiles_) * kTileRows +
                                                    wanted.ids.size())) {
    const std::span<float> input{scratch<float, struct ScreenInput>(cols_), cols_};
    shift_ = screening_input({data(x), cols_}, head.screen.mean, head.screen.spread, input);
    double squares = 0.0;
    for (const float v : input) squares += static_cast<double>(v) * static_cast<double>(v);
    length_ = static_cast<float>(std::sqrt(squares));
    for (const float m : head.screen.mean) slack_ += std::fabs(m);
    if (!std::isfinite(length_) || !std::isfinite(shift_) || !std::isfinite(slack_))
      return;  // run() gives up
    std::fill_n(codes_, col_tiles_ * kTileColumns, int8_t{0});
    inverse_scale_ = 1.0F / kernels_->quantize_int8(input.data(), cols_, codes_);
    scale16_ = kernels_->quantize_int16(data(x), cols_, x16_);
    slack_ *= scale16_ / 2;
    sound_ = true;
  }

  /// Logits of what is wanted into y, -inf elsewhere; how many rows were read, 0 if it does not pay.
  int64_t run(const WantedLogits& wanted, float* y) {
    if (!sound_) return 0;
    y_ = y;
    std::fill_n(y, head_.weights->rows, -kInfinity);
    const float reach = kDeviations * length_ * measured_error();
    if (!std::isfinite(reach)) return 0;
    estimate(reach);
    const float threshold = find_threshold(wanted.count);
    if (!(threshold > -kInfinity)) return 0;
    int64_t count = collect(threshold, reach);
    if (count > rows_ / kLargestShare) return 0;
    for (const int32_t id : wanted.ids) {
      if (y[id] == -kInfinity) candidates_[count++] = id;
    }
    compute_candidates(count);
    return rows_read_;
  }

 private:
  /// logits[i] of row ids[i].
  void compute(const int32_t* ids, int64_t count, float* logits) const {
    const DenseMatrix& matrix = head_.weights->dense;
    kernels_->matvec_q8(reinterpret_cast<const int8_t*>(matrix.data), matrix.row_scales.data(), ids,
                        static_cast<size_t>(count), cols_, x16_, scale16_, logits);
  }

  /// Estimates of the rows of tiles begin..end.
  void estimate_tiles(int64_t begin, int64_t end) const {
    const auto count = static_cast<size_t>(end - begin);
    int32_t* sums = scratch<int32_t, struct ScreenSums>(count * kTileRows);
    kernels_->matvec_int8(
        head_.screen.planes.tiles.data() + static_cast<size_t>(begin) * col_tiles_ * kTileBytes, count,
        col_tiles_, codes_, sums);
    const int64_t first = begin * kTileHeight;
    const int64_t last = std::min(end * kTileHeight, rows_);
    const float* scales = head_.screen.scales.data();
    for (int64_t r = first; r < last; ++r) {
      estimates_[r] = static_cast<float>(sums[r - first]) * (scales[r] * inverse_scale_) + shift_;
    }
    std::fill(estimates_ + last, estimates_ + end * kTileHeight, -kInfinity);
  }

  /// The estimates' deviation on the control rows over the one that their errors foretell: what the rotation
  /// cannot make equal, and the rounding of the input, show here.
  float measured_error() {
    const int64_t tiles = std::clamp(tiles_ / 32, kFewestControls, kMostControls);
    double squares = 0.0;
    int64_t count = 0;
    for (int64_t i = 0; i < tiles; ++i) {
      const int64_t tile = i * tiles_ / tiles;
      int32_t ids[kTileRows];
      std::iota(ids, ids + kTileRows, static_cast<int32_t>(tile * kTileHeight));
      float logits[kTileRows];
      const int64_t height = std::min(kTileHeight, rows_ - tile * kTileHeight);
      compute(ids, height, logits);
      std::copy_n(logits, height, y_ + ids[0]);
      rows_read_ += height;
      estimate_tiles(tile, tile + 1);
      for (int64_t r = 0; r < height; ++r) {
        const float foretold = head_.screen.errors[static_cast<size_t>(ids[r])] * length_;
        if (!(foretold > 0.0F)) continue;
        const auto deviation = static_cast<double>((logits[r] - estimates_[ids[r]]) / foretold);
        squares += deviation * deviation;
        ++count;
      }
    }
    return count == 0 ? 1.0F : static_cast<float>(std::sqrt(squares / static_cast<double>(count)));
  }

  /// Estimates of all rows; of each tile the best one, and the most that a logit in it can be.
  void estimate(float reach) {
    const float* errors = head_.screen.errors.data();
    const int64_t grain = grain_of(kTileHeight * static_cast<int64_t>(cols_) / 8);
    pool_.parallel_for(tiles_, grain, [&](int64_t begin, int64_t end) {
      estimate_tiles(begin, end);
      for (int64_t tile = begin; tile < end; ++tile) {
        float best = -kInfinity;
        float bound = -kInfinity;
        for (int64_t r = tile * kTileHeight; r < std::min((tile + 1) * kTileHeight, rows_); ++r) {
          best = std::max(best, estimates_[r]);
          bound = std::max(bound, estimates_[r] + reach * errors[r] + slack_);
        }
        bests_[tile] = best;
        bounds_[tile] = bound;
      }
    });
  }

  /// A logit that at least `wanted` rows reach; -inf if that cannot be told.
  float find_threshold(int64_t wanted) {
    const int64_t first = rows_to_try(wanted);
    float* sorted = scratch<float, struct ScreenSorted>(static_cast<size_t>(tiles_));
    std::copy_n(bests_, tiles_, sorted);
    std::nth_element(sorted, sorted + first - 1, sorted + tiles_, std::greater<>());
    const int64_t count =
        select(bests_, sorted[first - 1], [&](int64_t r) { return estimates_[r] >= sorted[first - 1]; });
    // Too few: estimates that are not finite. Too many: rows that the estimates cannot tell apart.
    if (count < wanted || count > rows_ / kLargestShare) return -kInfinity;
    compute_candidates(count);
    std::nth_element(logits_, logits_ + wanted - 1, logits_ + count, std::greater<>());
    return logits_[wanted - 1];
  }

  /// Those that can reach the threshold and are not in y yet.
  int64_t collect(float threshold, float reach) {
    const float* errors = head_.screen.errors.data();
    return select(bounds_, threshold, [&](int64_t r) {
      return y_[r] == -kInfinity && estimates_[r] + reach * errors[r] + slack_ >= threshold;
    });
  }

  /// candidates_ = the rows that fit, of tiles whose value is large enough. Returns how many.
  int64_t select(const float* tile_values, float least, const auto& fits) {
    int64_t count = 0;
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      if (!(tile_values[tile] >= least)) continue;
      for (int64_t r = tile * kTileHeight; r < std::min((tile + 1) * kTileHeight, rows_); ++r) {
        if (fits(r)) candidates_[count++] = static_cast<int32_t>(r);
      }
    }
    return count;
  }

  /// logits_[i] = logit of candidates_[i], into y as well.
  void compute_candidates(int64_t count) {
    rows_read_ += count;
    pool_.parallel_for(count, grain_of(static_cast<int64_t>(cols_)), [&](int64_t begin, int64_t end) {
      compute(candidates_ + begin, end - begin, logits_ + begin);
    });
    for (int64_t i = 0; i < count; ++i) y_[candidates_[i]] = logits_[i];
  }

  const Kernels& kernels_;
  ThreadPool& pool_;
  const ScreenedHead& head_;
  int64_t rows_;
  int64_t tiles_;
  size_t cols_;
  size_t col_tiles_;
  int8_t* codes_;               // of the rotated input, [col_tiles * 32]
  float inverse_scale_ = 0.0F;  // and what gives its values back
  float shift_;                 // the mean row's logit
  int16_t* x16_;                // codes of the input itself, [cols]
  float scale16_ = 0.0F;
  float length_;
  float* estimates_;     // [tiles * 16]
  float* bests_;         // [tiles]
  float* bounds_;        // [tiles]
  int32_t* candidates_;  // rows that are read
  float* logits_;        // and what came of them
  int64_t rows_read_ = 0;
  float slack_ = 0.0F;  // what rounding the input to 16 bits can do to the mean row's logit
  bool sound_ = false;
  float* y_ = nullptr;  // true logits so far, else -inf
};

}  // namespace

int64_t cpu_screened_head(const Kernels& kernels, ThreadPool& pool, const Tensor& x, const ScreenedHead& head,
                          const WantedLogits& wanted, const Tensor& y) {
  const int64_t rows = std::min(wanted.limit, head.weights->rows);
  const auto tiles = static_cast<int64_t>(row_tiles(static_cast<size_t>(rows)));
  if (rows < kFewestRows || rows_to_try(wanted.count) >= tiles) return 0;
  return Screening(kernels, pool, x, head, wanted).run(wanted, data(y));
}

}  // namespace rotor::runtime
