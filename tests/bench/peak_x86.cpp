// What the multiply-add units of this core give at most: the arithmetic of avx512_tiles.cpp and
// avx2_tiles.cpp on registers alone. Written in assembly, so that nothing of it can be left out. Each
// function says which instructions the compiler may use around it; call only what the processor has.
#include <immintrin.h>

#include <cstdint>

namespace rotor::bench {

/// Multiply-adds of `rounds` rounds, 24 * 64 each.
[[gnu::target("avx512f,avx512bw,avx512vl,avx512vnni")]] void dot_avx512vnni(int64_t rounds) {
  __m512i sums[24];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  const __m512i weights = _mm512_set1_epi8(1);
  const __m512i x = _mm512_set1_epi8(3);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (__m512i& sum : sums) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(x));
  }
}

/// The same, 8 * 32 each, by a product of pairs in 16 bits and an addition.
[[gnu::target("avx2")]] void dot_avx2(int64_t rounds) {
  __m256i sums[8];
  for (__m256i& sum : sums) sum = _mm256_setzero_si256();
  const __m256i weights = _mm256_set1_epi8(1);
  const __m256i x = _mm256_set1_epi8(3);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 8
    for (__m256i& sum : sums) {
      __m256i pairs;
      __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(pairs) : "x"(weights), "x"(x));
      __asm__ volatile("vpaddw %1, %0, %0" : "+x"(sum) : "x"(pairs));
    }
  }
}

}  // namespace rotor::bench
