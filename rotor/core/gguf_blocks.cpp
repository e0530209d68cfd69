// Each format as its comment in the header has it.
#include "rotor/core/gguf_blocks.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"

namespace rotor {
namespace {

uint16_t load16(const uint8_t* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

[[noreturn]] void fail_code(size_t position) {
  fail("value ", position, ": code 3, which no ternary value has");
}

/// Digit n of a byte of base-3 digits: the byte times 3^n, modulo 256, times 3 / 256.
int8_t tq1_trit(uint8_t byte, unsigned power) {
  const auto shifted = static_cast<uint8_t>(byte * power);
  return static_cast<int8_t>((shifted * 3 >> 8) - 1);
}

constexpr unsigned kPowers[] = {1, 3, 9, 27, 81};

/// Calls visit(byte, digit, value) for every value of a block of TQ1_0.
template <class Visit>
void for_tq1(const Visit& visit) {
  for (size_t n = 0; n < 5; ++n) {
    for (size_t m = 0; m < 32; ++m) visit(m, n, 32 * n + m);
    for (size_t m = 0; m < 16; ++m) visit(32 + m, n, 160 + 16 * n + m);
  }
  for (size_t n = 0; n < 4; ++n) {
    for (size_t m = 0; m < 4; ++m) visit(48 + m, n, 240 + 4 * n + m);
  }
}

}  // namespace

uint16_t decode_tq1(std::span<const uint8_t> block, std::span<int8_t> trits) {
  assert(block.size() == kTq1Bytes && trits.size() == kTernaryBlock);
  for_tq1(
      [&](size_t byte, size_t digit, size_t value) { trits[value] = tq1_trit(block[byte], kPowers[digit]); });
  return load16(block.data() + 52);
}

void encode_tq1(std::span<const int8_t> trits, uint16_t d, std::span<uint8_t> block) {
  assert(block.size() == kTq1Bytes && trits.size() == kTernaryBlock);
  unsigned numbers[52] = {};
  for_tq1([&](size_t byte, size_t, size_t value) {
    numbers[byte] = 3 * numbers[byte] + static_cast<unsigned>(trits[value] + 1);
  });
  for (size_t byte = 0; byte < 52; ++byte) {
    const unsigned number = byte < 48 ? numbers[byte] : 3 * numbers[byte];
    block[byte] = static_cast<uint8_t>((number * 256 + 242) / 243);
  }
  std::memcpy(block.data() + 52, &d, sizeof(d));
}

uint16_t decode_tq2(std::span<const uint8_t> block, std::span<int8_t> trits) {
  assert(block.size() == kTq2Bytes && trits.size() == kTernaryBlock);
  for (size_t i = 0; i < 64; ++i) {
    int8_t* values = trits.data() + i / 32 * 128 + i % 32;
    for (size_t l = 0; l < 4; ++l) {
      const int code = block[i] >> 2 * l & 3;
      if (code == 3) fail_code(i / 32 * 128 + 32 * l + i % 32);
      values[32 * l] = static_cast<int8_t>(code - 1);
    }
  }
  return load16(block.data() + 64);
}

void encode_tq2(std::span<const int8_t> trits, uint16_t d, std::span<uint8_t> block) {
  assert(block.size() == kTq2Bytes && trits.size() == kTernaryBlock);
  for (size_t i = 0; i < 64; ++i) {
    const int8_t* values = trits.data() + i / 32 * 128 + i % 32;
    unsigned byte = 0;
    for (size_t l = 0; l < 4; ++l) byte |= static_cast<unsigned>(values[32 * l] + 1) << 2 * l;
    block[i] = static_cast<uint8_t>(byte);
  }
  std::memcpy(block.data() + 64, &d, sizeof(d));
}

void decode_i2s(std::span<const uint8_t> blocks, I2sOrder order, std::span<int8_t> trits) {
  const size_t block = i2s_block(order);
  const size_t stride = block / 4;
  assert(trits.size() % block == 0 && blocks.size() == trits.size() / 4);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const size_t first = i / stride * block + i % stride;
    const unsigned byte = blocks[i];
    if ((byte & byte >> 1 & 0x55) != 0) {
      for (size_t k = 0; k < 4; ++k) {
        if ((byte >> (6 - 2 * k) & 3) == 3) fail_code(first + k * stride);
      }
    }
    for (size_t k = 0; k < 4; ++k) {
      trits[first + k * stride] = static_cast<int8_t>(static_cast<int>(byte >> (6 - 2 * k) & 3) - 1);
    }
  }
}

void encode_i2s(std::span<const int8_t> trits, I2sOrder order, std::span<uint8_t> blocks) {
  const size_t block = i2s_block(order);
  const size_t stride = block / 4;
  assert(trits.size() % block == 0 && blocks.size() == trits.size() / 4);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int8_t* values = trits.data() + i / stride * block + i % stride;
    unsigned byte = 0;
    for (size_t k = 0; k < 4; ++k) byte = byte << 2 | static_cast<unsigned>(values[k * stride] + 1);
    blocks[i] = static_cast<uint8_t>(byte);
  }
}

void decode_q8_0(std::span<const uint8_t> blocks, std::span<float> values) {
  assert(values.size() % 32 == 0 && blocks.size() == values.size() / 32 * 34);
  for (size_t b = 0; b < values.size() / 32; ++b) {
    const uint8_t* block = blocks.data() + 34 * b;
    const float d = f16_to_float(load16(block));
    for (size_t i = 0; i < 32; ++i) {
      values[32 * b + i] = d * static_cast<float>(static_cast<int8_t>(block[2 + i]));
    }
  }
}

void decode_q4_0(std::span<const uint8_t> blocks, std::span<float> values) {
  assert(values.size() % 32 == 0 && blocks.size() == values.size() / 32 * 18);
  for (size_t b = 0; b < values.size() / 32; ++b) {
    const uint8_t* block = blocks.data() + 18 * b;
    const float d = f16_to_float(load16(block));
    for (size_t i = 0; i < 16; ++i) {
      values[32 * b + i] = d * static_cast<float>((block[2 + i] & 15) - 8);
      values[32 * b + 16 + i] = d * static_cast<float>((block[2 + i] >> 4) - 8);
    }
  }
}

void decode_q6_k(std::span<const uint8_t> blocks, std::span<float> values) {
  assert(values.size() % 256 == 0 && blocks.size() == values.size() / 256 * 210);
  for (size_t b = 0; b < values.size() / 256; ++b) {
    const uint8_t* ql = blocks.data() + 210 * b;
    const uint8_t* qh = ql + 128;
    const uint8_t* scales = qh + 64;
    const float d = f16_to_float(load16(scales + 16));
    for (size_t e = 0; e < 256; ++e) {
      const size_t h = e / 128;
      const size_t j = e / 32 % 4;
      const size_t l = e % 32;
      const int low = ql[64 * h + 32 * (j % 2) + l] >> 4 * (j / 2) & 15;
      const int high = qh[32 * h + l] >> 2 * j & 3;
      const auto scale = static_cast<float>(static_cast<int8_t>(scales[e / 16]));
      values[256 * b + e] = d * scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void encode_q8_0(std::span<const float> values, std::span<uint8_t> blocks) {
  assert(values.size() % 32 == 0 && blocks.size() == values.size() / 32 * 34);
  for (size_t b = 0; b < values.size() / 32; ++b) {
    const auto x = values.subspan(32 * b, 32);
    uint8_t* block = blocks.data() + 34 * b;
    float largest = 0.0F;
    for (const float value : x) largest = std::max(largest, std::fabs(value));
    const float d = largest / 127.0F;
    const float inverse = d > 0.0F ? 1.0F / d : 0.0F;
    const uint16_t half = float_to_f16(d);
    std::memcpy(block, &half, sizeof(half));
    for (size_t i = 0; i < 32; ++i) {
      block[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * inverse)));
    }
  }
}

}  // namespace rotor
