// The AVX2 kernels, for the tables of this set and of the x86 sets that take some of them over. Their
// contracts are those of kernel_set.h.
//
// The files avx2*.cpp are compiled with -mavx2 -mf16c -mfma, so they call no inline function or template of a
// shared header: the linker could keep their copy of it for the whole program. A test checks that their
// objects define no weak function.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::kernels::avx2 {

// avx2_planes.cpp
void ternarize(const float* values, size_t count, float threshold, uint32_t* plus, uint32_t* minus);
bool encode_trits(const int8_t* values, size_t count, uint32_t* plus, uint32_t* minus);
void decode_trits(const uint32_t* plus, const uint32_t* minus, size_t count, int8_t* values);
int64_t dot_ternary(const uint32_t* a_plus, const uint32_t* a_minus, const uint32_t* b_plus,
                    const uint32_t* b_minus, size_t words);
int64_t dot_int8(const uint32_t* plus, const uint32_t* minus, const int8_t* values, size_t words);
void matvec_ternary(const uint8_t* tiles, size_t row_tiles, size_t column_tiles, const uint32_t* x_plus,
                    const uint32_t* x_minus, int32_t* sums);

// avx2_vector.cpp
float quantize_int8(const float* values, size_t count, int8_t* codes);
float quantize_int16(const float* values, size_t count, int16_t* codes);
/// The sum of [32 * words] values.
int32_t sum_of_bytes(const int8_t* x, size_t words);
void arrange_tokens(const int8_t* x, size_t column_tiles, size_t batch, int8_t* blocks, int32_t* token_sums);
void scale_sums(const int32_t* sums, size_t count, float factor, bool add, float* y);
void rms_norm(const float* x, size_t count, const float* gain, float eps, float* y);
void softmax(float* scores, size_t count, float scale);
void gate_relu2(const float* gate, const float* up, size_t count, float* y);
uint64_t sum_words(const uint64_t* words, size_t count);
void to_f16(const float* values, size_t count, uint16_t* halves);
void from_f16(const uint16_t* halves, size_t count, float* values);

// avx2_dense.cpp
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

}  // namespace rotor::kernels::avx2
