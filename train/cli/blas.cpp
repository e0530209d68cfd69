// Asks OpenBLAS, if it is there, which kernels it chose.
#include "train/cli/blas.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace rotor::train::cli {

namespace {
constexpr const char* kVariable = "OPENBLAS_CORETYPE";
constexpr const char* kNote = "ROTOR_OPENBLAS_REPLACED";  // what OpenBLAS had chosen by itself
std::vector<std::string> g_arguments;
}  // namespace

void remember_arguments(int argc, char** argv) {
  g_arguments.assign(argv, argv + argc);
}

void use_fast_blas() {
#if defined(__x86_64__)
  using CoreName = char* (*)();
  const auto core_name = reinterpret_cast<CoreName>(dlsym(RTLD_DEFAULT, "openblas_get_corename"));
  if (core_name == nullptr || std::getenv(kVariable) != nullptr) return;
  const std::string core = core_name();
  if (core != "Prescott" && core != "Generic") return;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (!avx512 && !(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) return;
  const char* better = avx512 ? "SkylakeX" : "Haswell";
  setenv(kVariable, better, 1);
  setenv(kNote, core.c_str(), 1);
  std::vector<char*> argv;
  for (std::string& argument : g_arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv("/proc/self/exe", argv.data());  // on failure the program goes on, slowly
#endif
}

void print_blas_note() {
  const char* replaced = std::getenv(kNote);
  if (replaced == nullptr) return;
  std::fprintf(stderr, "OpenBLAS would use its %s kernels on this processor; using %s=%s\n", replaced,
               kVariable, std::getenv(kVariable));
}

}  // namespace rotor::train::cli
