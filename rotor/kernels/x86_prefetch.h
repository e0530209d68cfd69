// Reading a matrix from memory as fast as memory gives it. The function is static, so that each kernel set
// keeps a copy of its own (avx2.h says why).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace rotor::kernels {

/// How far ahead a stream is asked for, in bytes.
inline constexpr size_t kSoon = 1024;
inline constexpr size_t kLater = 8192;

/// Asks for the 128 bytes that are needed soon (from L2) and those needed later (from memory).
static inline void prefetch(const void* soon, const void* later) {
  for (size_t line = 0; line < 128; line += 64) {
    _mm_prefetch(static_cast<const char*>(soon) + line, _MM_HINT_T0);
    _mm_prefetch(static_cast<const char*>(later) + line, _MM_HINT_T1);
  }
}

/// The same of a stream at `at`. Measured with avx512vnni: without, a core reads tiles from memory at half
/// the speed of plain reading; with one distance at 0.75, with both at 0.93.
static inline void prefetch_ahead(const void* at) {
  const char* stream = static_cast<const char*>(at);
  prefetch(stream + kSoon, stream + kLater);
}

/// KernelSet::matvec_q8 with a set's product of one row, dot(row, x, cols, soon, later), which asks for what
/// is soon and later: the stream behind the row or, of a list, the next rows.
template <class Dot>
static inline void matvec_rows(const int8_t* codes, const float* row_scales, const int32_t* ids, size_t rows,
                               size_t cols, const int16_t* x, float x_scale, float* y, Dot dot) {
  const auto row_at = [=](size_t i) {
    return ids == nullptr ? i : static_cast<size_t>(ids[i < rows ? i : rows - 1]);
  };
  for (size_t i = 0; i < rows; ++i) {
    const size_t r = row_at(i);
    const int8_t* row = codes + r * cols;
    const int8_t* soon = ids == nullptr ? row + kSoon : codes + row_at(i + 1) * cols;
    const int8_t* later = ids == nullptr ? row + kLater : codes + row_at(i + 3) * cols;
    y[i] = static_cast<float>(dot(row, x, cols, soon, later)) * (row_scales[r] * x_scale);
  }
}

}  // namespace rotor::kernels
