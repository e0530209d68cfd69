// The element types of safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace rotor {

enum class DType { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

size_t dtype_bytes(DType dtype);
/// As safetensors spells it: "F32", "BF16", "U8".
const char* dtype_name(DType dtype);
std::optional<DType> dtype_from_name(const std::string& name);

/// F32, F16 or BF16 numbers, which need no alignment, as float32.
void floats_from(DType dtype, std::span<const uint8_t> bytes, std::span<float> values);
/// The inverse; the 16-bit types round half to even. `bytes`: dtype_bytes(dtype) for each value.
void floats_to(DType dtype, std::span<const float> values, std::span<uint8_t> bytes);
/// float32 numbers as they lie in memory.
inline std::span<const uint8_t> float_bytes(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace rotor
