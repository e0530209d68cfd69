// Random inputs for tests, the same in every run.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace rotor::test {

class Random {
 public:
  explicit Random(uint64_t seed = 1) : engine_(seed) {}

  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  /// From 0 to below 1.
  double uniform() { return std::uniform_real_distribution<double>()(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }

  std::vector<int8_t> trits(size_t count) { return bytes(count, -1, 1); }
  std::vector<int8_t> bytes(size_t count, int64_t low = -128, int64_t high = 127) {
    std::vector<int8_t> values(count);
    for (int8_t& v : values) v = static_cast<int8_t>(integer(low, high));
    return values;
  }
  std::vector<float> normals(size_t count) {
    std::vector<float> values(count);
    for (float& v : values) v = normal();
    return values;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace rotor::test
