// One table of types, and the conversions of 16-bit floats.
#include "rotor/formats/dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "rotor/core/clones.h"
#include "rotor/core/dense.h"

namespace rotor {
namespace {

struct Entry {
  DType dtype;
  const char* name;
  size_t bytes;
};

constexpr std::array<Entry, 13> kEntries = {{{DType::boolean, "BOOL", 1},
                                             {DType::u8, "U8", 1},
                                             {DType::i8, "I8", 1},
                                             {DType::u16, "U16", 2},
                                             {DType::i16, "I16", 2},
                                             {DType::f16, "F16", 2},
                                             {DType::bf16, "BF16", 2},
                                             {DType::u32, "U32", 4},
                                             {DType::i32, "I32", 4},
                                             {DType::f32, "F32", 4},
                                             {DType::u64, "U64", 8},
                                             {DType::i64, "I64", 8},
                                             {DType::f64, "F64", 8}}};

const Entry& entry(DType dtype) {
  return kEntries[static_cast<size_t>(dtype)];
}

uint16_t load16(const uint8_t* bytes) {
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof(bits));
  return bits;
}

ROTOR_CLONES void bf16_to_floats(std::span<const uint8_t> bytes, std::span<float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = std::bit_cast<float>(uint32_t{load16(bytes.data() + 2 * i)} << 16);
  }
}

}  // namespace

size_t dtype_bytes(DType dtype) {
  return entry(dtype).bytes;
}

const char* dtype_name(DType dtype) {
  return entry(dtype).name;
}

std::optional<DType> dtype_from_name(const std::string& name) {
  for (const Entry& e : kEntries) {
    if (name == e.name) return e.dtype;
  }
  return std::nullopt;
}

void floats_from(DType dtype, std::span<const uint8_t> bytes, std::span<float> values) {
  if (dtype == DType::f32) {
    if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return;
  }
  if (dtype == DType::bf16) return bf16_to_floats(bytes, values);
  for (size_t i = 0; i < values.size(); ++i) values[i] = f16_to_float(load16(bytes.data() + 2 * i));
}

void floats_to(DType dtype, std::span<const float> values, std::span<uint8_t> bytes) {
  if (dtype == DType::f32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size_bytes());
    return;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = dtype == DType::f16 ? float_to_f16(values[i]) : float_to_bf16(values[i]);
    bytes[2 * i] = static_cast<uint8_t>(bits);
    bytes[2 * i + 1] = static_cast<uint8_t>(bits >> 8);
  }
}

}  // namespace rotor
