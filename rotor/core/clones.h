// Loops over much data that compilers vectorize well by themselves: compiled for AVX2 too, where the system
// chooses at load. What a clone computes is the same to the bit (no fused multiply-adds, sums in lanes that
// the source fixes). For import and export, and for small parts of inference; what that spends its time on is
// in rotor/kernels.
#pragma once

#include <cstddef>  // tells __GLIBC__

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ROTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define ROTOR_CLONES
#endif
