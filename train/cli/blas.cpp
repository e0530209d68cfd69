// Asks OpenBLAS, if it is there, which kernels it chose.
#include "train/cli/blas.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace rotor::train::cli {

void use_fast_blas(char** argv) {
#if defined(__x86_64__)
  constexpr const char* kVariable = "OPENBLAS_CORETYPE";
  using CoreName = char* (*)();
  const auto core_name = reinterpret_cast<CoreName>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  if (core_name == nullptr || std::getenv(kVariable) != nullptr) return;
  const std::string core = core_name();
  if (core != "Prescott" && core != "Generic") return;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (!avx512 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return;
  const char* better = avx512 ? "SkylakeX" : "Haswell";
  std::fprintf(stderr, "OpenBLAS chose its %s kernels for this processor; using %s=%s\n", core.c_str(),
               kVariable, better);
  std::fflush(stderr);
  setenv(kVariable, better, 1);
  execv("/proc/self/exe", argv);  // on failure the program goes on, slowly
#else
  (void)argv;
#endif
}

}  // namespace rotor::train::cli
