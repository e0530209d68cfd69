// The tables of the AVX-512 sets, compiled twice: without (avx512) and with (avx512vnni) its dot products.
// What gains nothing from wider registers is taken from AVX2.
#include "rotor/kernels/avx512.h"

#include "rotor/kernels/avx2.h"
#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"
#include "rotor/kernels/x86_cpu.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

bool supported() {
  bool all = __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
             __builtin_cpu_supports("avx2") != 0 && cpu_has_f16c() && __builtin_cpu_supports("fma") != 0;
#ifdef __AVX512VNNI__
  all = all && __builtin_cpu_supports("avx512vnni") != 0;
#endif
  return all;
}

}  // namespace

extern const KernelSet kSet = {
    .name = ROTOR_KERNEL_SET_NAME,
    .supported = supported,
    .quantize_int8 = avx512::quantize_int8,
    .quantize_int16 = avx2::quantize_int16,
    .ternarize = avx2::ternarize,
    .encode_trits = avx2::encode_trits,
    .decode_trits = avx2::decode_trits,
    .dot_ternary = avx2::dot_ternary,
    .dot_int8 = avx2::dot_int8,
    .matvec_int8 = matvec_int8,
    .arrange_tokens = avx2::arrange_tokens,
    .matmul_int8 = matmul_int8,
    .scale_sums = avx2::scale_sums,
    .matvec_ternary = avx2::matvec_ternary,
    .matvec_float = avx512::matvec_float,
    .matvec_f16 = avx512::matvec_f16,
    .matvec_q8 = avx512::matvec_q8,
    .weighted_sum_float = avx512::weighted_sum_float,
    .weighted_sum_f16 = avx512::weighted_sum_f16,
    .weighted_sum_q8 = avx512::weighted_sum_q8,
    .rms_norm = avx512::rms_norm,
    .softmax = avx512::softmax,
    .gate_relu2 = avx2::gate_relu2,
    .sum_words = avx512::sum_words,
    .to_f16 = avx2::to_f16,
    .from_f16 = avx2::from_f16,
};

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
