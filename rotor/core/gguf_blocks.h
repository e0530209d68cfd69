// The block formats of GGUF files that ternary models meet: TQ1_0, TQ2_0 and I2_S for ternary matrices,
// Q8_0, Q6_K and Q4_0 for embeddings and heads. Reference: llama.cpp, ggml-quants.c (dequantize_row_*);
// bitnet.cpp, ggml-bitnet-mad.cpp (I2_S). The formats in bits: comments of the functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rotor {

inline constexpr size_t kTernaryBlock = 256;  // values of a block of TQ1_0 and TQ2_0
inline constexpr size_t kTq1Bytes = 54;
inline constexpr size_t kTq2Bytes = 66;

/// TQ1_0, one block of 256 ternary values: qs[48], qh[4], d (binary16); value = (code - 1) * d. Five codes to
/// a byte of qs, four to one of qh, as digits of base 3, the first the most significant: byte qs[m], m < 32,
/// digit n is value 32n + m; qs[32 + m], m < 16: value 160 + 16n + m; qh[m]: value 240 + 4n + m. A byte is
/// the number times 256/243, rounded up; qh's number is multiplied by 3 first. Decoding returns d.
uint16_t decode_tq1(std::span<const uint8_t> block, std::span<int8_t> trits);
void encode_tq1(std::span<const int8_t> trits, uint16_t d, std::span<uint8_t> block);

/// TQ2_0, the same: qs[64], d. The code of value 128g + 32l + m is in bits 2l and 2l + 1 of byte 32g + m.
/// Decoding returns d. Throws Error naming the position of a code 3.
uint16_t decode_tq2(std::span<const uint8_t> block, std::span<int8_t> trits);
void encode_tq2(std::span<const int8_t> trits, uint16_t d, std::span<uint8_t> block);

/// How I2_S orders the values of a block. Files do not say which it is.
enum class I2sOrder {
  x86,  ///< 128 values in 32 bytes: byte m holds m, m + 32, m + 64, m + 96, the first in the highest bits
  arm,  ///< 64 values in 16 bytes: byte m holds m, m + 16, m + 32, m + 48
};
constexpr size_t i2s_block(I2sOrder order) {
  return order == I2sOrder::x86 ? 128 : 64;
}
/// Whole blocks of I2_S, without the scale that stands behind the tensor. Throws Error naming the position
/// of a code 3.
void decode_i2s(std::span<const uint8_t> blocks, I2sOrder order, std::span<int8_t> trits);
void encode_i2s(std::span<const int8_t> trits, I2sOrder order, std::span<uint8_t> blocks);

/// Whole blocks to floats. Q8_0: d (binary16), int8[32]. Q4_0: d, 16 bytes, low halves are values 0 to 15,
/// high ones 16 to 31, minus 8. Q6_K: ql[128], qh[64], int8 scales[16], d: for value e = 128h + 32j + l: low
/// = ql[64h + 32(j % 2) + l] >> 4(j / 2) & 15, high = qh[32h + l] >> 2j & 3, value = d * scales[e / 16] *
/// ((low | high << 4) - 32).
void decode_q8_0(std::span<const uint8_t> blocks, std::span<float> values);
void decode_q4_0(std::span<const uint8_t> blocks, std::span<float> values);
void decode_q6_k(std::span<const uint8_t> blocks, std::span<float> values);

/// Q8_0 of whole blocks: d = max|x| / 127 as binary16, codes x / d rounded half away from zero, as
/// llama.cpp's quantize_row_q8_0_ref. Values are finite and at most 65504 * 127.
void encode_q8_0(std::span<const float> values, std::span<uint8_t> blocks);

}  // namespace rotor
