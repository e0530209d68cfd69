// The AVX-512 kernels that both sets of that kind share. Their contracts are those of kernel_set.h; the files
// avx512*.cpp keep to the rule of avx2.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::kernels::avx512 {

// avx512_vector.cpp
float quantize_int8(const float* values, size_t count, int8_t* codes);
void rms_norm(const float* x, size_t count, const float* gain, float eps, float* y);
void softmax(float* scores, size_t count, float scale);
uint64_t sum_words(const uint64_t* words, size_t count);

// avx512_dense.cpp
void matvec_float(const float* matrix, size_t rows, size_t cols, const float* x, float* y);
void matvec_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* x, float* y);
void matvec_q8(const int8_t* codes, const float* row_scales, const int32_t* ids, size_t rows, size_t cols,
               const int16_t* x, float x_scale, float* y);
void weighted_sum_float(const float* matrix, size_t rows, size_t cols, const float* weights, bool add,
                        float* y);
void weighted_sum_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, bool add,
                      float* y);
void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, bool add, float* y);

}  // namespace rotor::kernels::avx512
