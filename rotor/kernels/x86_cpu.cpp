// Asks the processor. The operating system's part (saved AVX registers) is in __builtin_cpu_supports("avx2").
#include "rotor/kernels/x86_cpu.h"

#include <cpuid.h>

namespace rotor::kernels {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// Zeros for a leaf that the processor does not have.
Registers cpuid(unsigned leaf, unsigned subleaf) {
  Registers r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

}  // namespace

bool cpu_has_f16c() {
  return (cpuid(1, 0).ecx >> 29 & 1) != 0;
}

bool cpu_has_avx_vnni() {
  return (cpuid(7, 1).eax >> 4 & 1) != 0;
}

}  // namespace rotor::kernels
