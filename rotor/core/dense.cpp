// Conversions between float32 and the smaller types.
#include "rotor/core/dense.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "rotor/core/clones.h"
#include "rotor/core/error.h"
#include "rotor/core/quantize.h"

namespace rotor {

const char* name(DenseType type) {
  return type == DenseType::f32 ? "f32" : type == DenseType::f16 ? "f16" : "q8";
}

DenseType dense_type_from_name(const std::string& text) {
  for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    if (text == name(type)) return type;
  }
  fail("expected f32 | f16 | q8, found \"", text, "\"");
}

size_t dense_bytes(DenseType type) {
  return type == DenseType::f32 ? 4 : type == DenseType::f16 ? 2 : 1;
}

float f16_to_float(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000U} << 16;
  const uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude >= 0x7C00U) return std::bit_cast<float>(sign | 0x7F800000U | (magnitude & 0x3FFU) << 13);
  // The exponent is moved by multiplying with 2^112, which puts subnormals right as well.
  const float shifted = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(shifted) | sign);
}

float bf16_to_float(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

uint16_t float_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return sign | 0x7E00U;   // NaN
  if (magnitude >= 0x477FF000U) return sign | 0x7C00U;  // from 65520 on, half-way past the largest
  if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded half to even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  const uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<uint16_t>(sign | (rounded - 0x38000000U) >> 13);
}

uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);  // NaN
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

ROTOR_CLONES size_t find_not_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7F800000U;
  constexpr size_t kBlock = 4096;  // looked at whole: usually there is nothing to find
  for (size_t first = 0; first < values.size(); first += kBlock) {
    const auto block = values.subspan(first, std::min(kBlock, values.size() - first));
    uint32_t bad = 0;
    for (const float v : block) bad |= (std::bit_cast<uint32_t>(v) & kExponent) == kExponent ? 1U : 0U;
    if (bad == 0) continue;
    const auto is_bad = [](float v) { return !std::isfinite(v); };
    return first + static_cast<size_t>(std::ranges::find_if(block, is_bad) - block.begin());
  }
  return values.size();
}

float quantize_q8(std::span<const float> values, std::span<int8_t> codes) {
  return 1.0F / quantize_int8(values, codes);
}

}  // namespace rotor
