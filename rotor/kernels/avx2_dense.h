// The AVX2 kernels on dense matrices, for the table in avx2.cpp. Their contracts are those of kernel_set.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::kernels::avx2 {

void matvec_float(const float* matrix, size_t rows, size_t cols, const float* x, float* y);
void matvec_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* x, float* y);
void matvec_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols, const float* x,
               float* y);
void weighted_sum_float(const float* matrix, size_t rows, size_t cols, const float* weights, float* y);
void weighted_sum_f16(const uint16_t* matrix, size_t rows, size_t cols, const float* weights, float* y);
void weighted_sum_q8(const int8_t* codes, const float* row_scales, size_t rows, size_t cols,
                     const float* weights, float* y);

}  // namespace rotor::kernels::avx2
