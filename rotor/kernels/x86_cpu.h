// What __builtin_cpu_supports does not tell with every compiler.
#pragma once

namespace rotor::kernels {

/// Conversions of binary16: CPUID leaf 1, bit 29 of ECX.
bool cpu_has_f16c();
/// Dot products of bytes in 256 bits without AVX-512: CPUID leaf 7.1, bit 4 of EAX.
bool cpu_has_avx_vnni();

}  // namespace rotor::kernels
