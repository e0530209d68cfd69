// The tables of the NEON sets, compiled twice: for every 64-bit ARM (neon) and with its dot products
// (neondot).
#include "rotor/kernels/neon.h"

#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "rotor/kernels/kernel_set.h"
#include "rotor/kernels/tile_products.h"

namespace rotor::kernels::ROTOR_KERNEL_SET {
namespace {

bool supported() {
#ifdef __ARM_FEATURE_DOTPROD
  return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
  return true;
#endif
}

}  // namespace

extern const KernelSet kSet = {
    .name = ROTOR_KERNEL_SET_NAME,
    .supported = supported,
    .quantize_int8 = neon::quantize_int8,
    .quantize_int16 = neon::quantize_int16,
    .ternarize = neon::ternarize,
    .encode_trits = neon::encode_trits,
    .decode_trits = neon::decode_trits,
    .dot_ternary = neon::dot_ternary,
    .dot_int8 = neon::dot_int8,
    .matvec_int8 = matvec_int8,
    .arrange_tokens = neon::arrange_tokens,
    .matmul_int8 = matmul_int8,
    .scale_sums = neon::scale_sums,
    .matvec_ternary = neon::matvec_ternary,
    .matvec_float = neon::matvec_float,
    .matvec_f16 = neon::matvec_f16,
    .matvec_q8 = neon::matvec_q8,
    .weighted_sum_float = neon::weighted_sum_float,
    .weighted_sum_f16 = neon::weighted_sum_f16,
    .weighted_sum_q8 = neon::weighted_sum_q8,
    .rms_norm = neon::rms_norm,
    .softmax = neon::softmax,
    .gate_relu2 = neon::gate_relu2,
    .sum_words = neon::sum_words,
    .to_f16 = neon::to_f16,
    .from_f16 = neon::from_f16,
};

}  // namespace rotor::kernels::ROTOR_KERNEL_SET
