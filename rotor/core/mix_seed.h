// Seeds of random streams. Pure functions: what a run draws depends on its seed and on where it stands.
#pragma once

#include <cstdint>

namespace rotor {

/// A well-mixed 64-bit number from two: number `stream` of the sequence that splitmix64 gives for `seed`
/// (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators"). The same on every machine.
constexpr uint64_t mix_seed(uint64_t seed, uint64_t stream) {
  uint64_t z = seed + 0x9E3779B97F4A7C15ULL * (stream + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace rotor
