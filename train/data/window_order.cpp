// Draws and permutations from mixed seeds.
#include "train/data/window_order.h"

#include <bit>

#include "rotor/core/mix_seed.h"

namespace rotor::train {
namespace {

// Streams of a run's seed that nothing else uses.
constexpr uint64_t kRandomStream = 0x77696E646F77;     // "window"
constexpr uint64_t kShuffleStream = 0x73687566666C65;  // "shuffle"
constexpr uint64_t kRounds = 6;

}  // namespace

int64_t random_start(uint64_t seed, int64_t step, int64_t row, int64_t count) {
  const uint64_t of_step = mix_seed(mix_seed(seed, kRandomStream), static_cast<uint64_t>(step));
  // The bias of the remainder is below 2^-20 for any count under 2^44.
  return static_cast<int64_t>(mix_seed(of_step, static_cast<uint64_t>(row)) % static_cast<uint64_t>(count));
}

int64_t shuffled_index(uint64_t seed, int64_t epoch, int64_t index, int64_t count) {
  if (count <= 1) return index;
  const uint64_t key = mix_seed(mix_seed(seed, kShuffleStream), static_cast<uint64_t>(epoch));
  const int half_bits = (static_cast<int>(std::bit_width(static_cast<uint64_t>(count - 1))) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  auto place = static_cast<uint64_t>(index);
  do {
    uint64_t left = place >> half_bits;
    uint64_t right = place & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (mix_seed(mix_seed(key, round), right) & mask);
      left = right;
      right = mixed;
    }
    place = left << half_bits | right;
  } while (place >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(place);
}

}  // namespace rotor::train
