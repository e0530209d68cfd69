// Reading, counting, checking; the writers are to_*.cpp.
#include "export/pieces.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/core/parallel.h"

namespace rotor::exporting {
namespace {

void check_finite(std::span<const float> values, int64_t first_value) {
  const size_t bad = find_not_finite(values);
  if (bad == values.size()) return;
  fail("value ", static_cast<size_t>(first_value) + bad, ": expected a finite number, found ", values[bad]);
}

std::vector<float> read_finite(const ModelSource& source, const TensorSpec& spec, int64_t first, int64_t rows,
                               float divisor) {
  std::vector<float> values(static_cast<size_t>(rows * columns(spec)));
  source.read_floats(spec, first, rows, values);
  for (float& value : values) value /= divisor;
  check_finite(values, first * columns(spec));
  return values;
}

}  // namespace

bool holds(DType type, float value) {
  if (type == DType::f32) return true;
  const float back =
      type == DType::f16 ? f16_to_float(float_to_f16(value)) : bf16_to_float(float_to_bf16(value));
  return std::bit_cast<uint32_t>(back) == std::bit_cast<uint32_t>(value);
}

int64_t columns(const TensorSpec& spec) {
  return spec.shape.size() == 2 ? spec.shape[1] : 1;
}

ExportedTensor exported(const ModelSource& source, const TensorSpec& spec) {
  ExportedTensor tensor;
  tensor.name = spec.name;
  tensor.shape = spec.shape;
  tensor.source_bytes = source.stored_bytes(spec);
  tensor.ternary = is_ternary(source.config(), spec);
  if (tensor.ternary) tensor.scale = source.scale(spec);
  return tensor;
}

void CountedTrits::read(int64_t first, int64_t rows, std::span<int8_t> trits) {
  source_.read_trits(spec_, first, rows, trits);
  add(count_trits(trits));
}

void CountedTrits::read_tiles(int64_t first, int64_t rows, std::span<uint8_t> tiles) {
  source_.read_tiles(spec_, first, rows, tiles);
  add(count_trits(tiles, static_cast<size_t>(rows), static_cast<size_t>(spec_.shape[1])));
}

void CountedTrits::add(const TritCounts& counts) {
  const std::lock_guard lock(mutex_);
  tensor_.counts.minus += counts.minus;
  tensor_.counts.zero += counts.zero;
  tensor_.counts.plus += counts.plus;
}

void keep_exact_types(const ModelSource& source, const TensorSpec& spec, std::vector<DType>& types,
                      float divisor) {
  std::mutex mutex;
  naming_source(source, spec.name, [&] {
    parallel_rows(spec.shape[0], rows_a_piece(columns(spec)), [&](int64_t first, int64_t rows) {
      std::unique_lock lock(mutex);
      const std::vector<DType> left = types;
      lock.unlock();
      if (left.size() == 1) return;  // F32
      const auto values = read_finite(source, spec, first, rows, divisor);
      for (const DType type : left) {
        if (std::ranges::all_of(values, [&](float v) { return holds(type, v); })) continue;
        lock.lock();
        std::erase(types, type);
        lock.unlock();
      }
    });
  });
}

void read_as(const ModelSource& source, const TensorSpec& spec, int64_t first, int64_t rows, DType type,
             std::vector<uint8_t>& bytes, float divisor) {
  const auto values = read_finite(source, spec, first, rows, divisor);
  if (type == DType::f16) {
    const auto large = std::ranges::find_if(values, [](float v) { return std::fabs(v) >= 65520.0F; });
    if (large != values.end()) {
      fail("value ", first * columns(spec) + (large - values.begin()), " is ", *large,
           ", more than float16 holds: choose bf16 or f32");
    }
  }
  bytes.resize(values.size() * dtype_bytes(type));
  floats_to(type, values, bytes);
}

void naming_source(const ModelSource& source, const std::string& tensor, const std::function<void()>& write) {
  try {
    write();
  } catch (const Error& e) {
    if (std::string_view(e.what()).starts_with(source.path())) throw;
    fail(source.path(), ": tensor \"", tensor, "\": ", e.what());
  }
}

std::string type_text(DType type) {
  switch (type) {
    case DType::f32:
      return "float32";
    case DType::f16:
      return "float16";
    case DType::bf16:
      return "bfloat16";
    default:
      return dtype_name(type);
  }
}

}  // namespace rotor::exporting
