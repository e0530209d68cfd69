// The element types of safetensors files, and the 16-bit floats among them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace rotor {

enum class DType { boolean, u8, i8, u16, i16, f16, bf16, u32, i32, f32, u64, i64, f64 };

size_t dtype_bytes(DType dtype);
/// As safetensors spells it: "F32", "BF16", "U8".
const char* dtype_name(DType dtype);
std::optional<DType> dtype_from_name(const std::string& name);

/// IEEE binary16 and bfloat16, by their bits. Every value is exact in float32.
float f16_to_float(uint16_t bits);
float bf16_to_float(uint16_t bits);

}  // namespace rotor
