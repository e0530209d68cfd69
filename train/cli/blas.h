// Debian's OpenBLAS 0.3.21 does not know every newer processor and then multiplies matrices with kernels of
// 2004 (SSE3), at half the speed of training or less. It reads its choice from OPENBLAS_CORETYPE once, when
// it is loaded.
#pragma once

namespace rotor::train::cli {

/// If OpenBLAS fell back to its oldest kernels on a processor with AVX2 or AVX-512, and the user chose none,
/// names fitting kernels in the environment and starts this program anew. Otherwise, or without OpenBLAS,
/// returns.
void use_fast_blas(char** argv);

}  // namespace rotor::train::cli
