// Pieces are large enough to keep cores busy and small enough that some of them fit beside any model.
#include "export/pieces.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/core/parallel.h"

namespace rotor::exporting {
namespace {

constexpr int64_t kPieceValues = int64_t{1} << 21;

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

int64_t piece_rows(int64_t cols, int64_t multiple) {
  return std::max<int64_t>(1, kPieceValues / cols / multiple) * multiple;
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

void write_pieces(int64_t rows, int64_t step,
                  const std::function<void(int64_t first, int64_t rows, std::vector<uint8_t>& bytes)>& make,
                  const std::function<void(std::span<const uint8_t>)>& take) {
  parallel_in_order(
      static_cast<size_t>((rows + step - 1) / step),
      [&](size_t piece, std::vector<uint8_t>& bytes) {
        const int64_t first = static_cast<int64_t>(piece) * step;
        make(first, std::min(step, rows - first), bytes);
      },
      take);
}

void keep_exact_types(const ModelSource& source, const TensorSpec& spec, std::vector<DType>& types,
                      float divisor) {
  const int64_t rows = spec.shape[0];
  const int64_t step = piece_rows(columns(spec));
  std::mutex mutex;
  naming_source(source, spec.name, [&] {
    parallel_for(static_cast<size_t>((rows + step - 1) / step), [&](size_t piece) {
      std::unique_lock lock(mutex);
      const std::vector<DType> left = types;
      lock.unlock();
      if (left.size() == 1) return;  // F32
      const int64_t first = static_cast<int64_t>(piece) * step;
      const auto values = read_finite(source, spec, first, std::min(step, rows - first), divisor);
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
