// Dense numbers in less than 32 bits: what embeddings, heads and KV caches are kept as. The 16-bit floats are
// here by their bits; dense matrices in files are formats/rotor_file.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace rotor {

/// How a row of numbers is kept: float32, IEEE binary16, or int8 codes with one float32 scale
/// (value = code * scale, scale = max|x| / 127).
enum class DenseType { f32, f16, q8 };

/// "f32", "f16", "q8". dense_type_from_name throws Error listing them.
const char* name(DenseType type);
DenseType dense_type_from_name(const std::string& text);
/// Bytes of one element, without scales.
size_t dense_bytes(DenseType type);

/// IEEE binary16 and bfloat16, by their bits. Every value is exact in float32.
float f16_to_float(uint16_t bits);
float bf16_to_float(uint16_t bits);
/// Rounds half to even; values past 65504 become infinite, NaN stays NaN.
uint16_t float_to_f16(float value);
/// The same of bfloat16; what its 8 bits of exponent cannot hold after rounding becomes infinite.
uint16_t float_to_bf16(float value);

/// The position of the first value that is NaN or infinite; values.size() if there is none.
size_t find_not_finite(std::span<const float> values);

/// int8 codes of a row; returns the scale that gives values back. Values are finite.
float quantize_q8(std::span<const float> values, std::span<int8_t> codes);

}  // namespace rotor
