// Reading a matrix from memory as fast as memory gives it. The function is static, so that each kernel set
// keeps a copy of its own (avx2.h says why).
#pragma once

#include <immintrin.h>

#include <cstddef>

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

}  // namespace rotor::kernels
