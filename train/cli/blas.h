// Debian's OpenBLAS 0.3.21 does not know every newer processor and then multiplies matrices with kernels of
// 2004 (SSE3), at half the speed of training or less. It reads its choice from OPENBLAS_CORETYPE once, when
// it is loaded.
#pragma once

namespace rotor::train::cli {

/// Keeps the program's arguments for use_fast_blas(). Call it first in main().
void remember_arguments(int argc, char** argv);

/// If OpenBLAS fell back to its oldest kernels on a processor with AVX2 or AVX-512, and the user chose none,
/// names fitting kernels in the environment and starts this program anew. Otherwise, or without OpenBLAS,
/// returns. Call it before any work is done.
void use_fast_blas();

/// Says on stderr what use_fast_blas() changed, if anything.
void print_blas_note();

}  // namespace rotor::train::cli
