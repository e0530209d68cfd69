// Linked into every test: GPUs' kernels are shaped without measuring, here and in the programs that tests
// start, unless the environment says otherwise. Measuring takes seconds, and its result would be the user's.
#include <cstdlib>

namespace {

[[maybe_unused]] const int kSet = setenv("ROTOR_GPU_TUNING", "default", 0);

}  // namespace
