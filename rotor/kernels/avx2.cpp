// The tables of the AVX2 sets, compiled twice: for AVX2 alone (avx2) and with the dot products of AVX-VNNI
// (avxvnni).
#include "rotor/kernels/avx2.h"
#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"
#include "rotor/kernels/x86_cpu.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

bool supported() {
  bool all = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && cpu_has_f16c();
#ifdef __AVXVNNI__
  all = all && cpu_has_avx_vnni();
#endif
  return all;
}

}  // namespace

extern const KernelSet kSet = {
    .name = ROTOR_KERNEL_SET_NAME,
    .supported = supported,
    .quantize_int8 = avx2::quantize_int8,
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
    .matvec_float = avx2::matvec_float,
    .matvec_f16 = avx2::matvec_f16,
    .matvec_q8 = avx2::matvec_q8,
    .weighted_sum_float = avx2::weighted_sum_float,
    .weighted_sum_f16 = avx2::weighted_sum_f16,
    .weighted_sum_q8 = avx2::weighted_sum_q8,
    .rms_norm = avx2::rms_norm,
    .softmax = avx2::softmax,
    .gate_relu2 = avx2::gate_relu2,
    .sum_words = avx2::sum_words,
    .to_f16 = avx2::to_f16,
    .from_f16 = avx2::from_f16,
};

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
