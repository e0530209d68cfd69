// The registry of kernel sets and the choice at run time.
#include "rotor/kernels/kernels.h"

#include <cstdlib>

#include "rotor/core/error.h"

namespace rotor::kernels {

// Defined in the file of each set.
extern const KernelSet kScalar;
#ifdef ROTOR_KERNELS_X86
namespace avx2 {
extern const KernelSet kSet;
}
namespace avxvnni {
extern const KernelSet kSet;
}
namespace avx512 {
extern const KernelSet kSet;
}
namespace avx512vnni {
extern const KernelSet kSet;
}
#endif
#ifdef ROTOR_KERNELS_ARM
namespace neon {
extern const KernelSet kSet;
}
namespace neondot {
extern const KernelSet kSet;
}
#endif

std::span<RegisteredSet> registered_sets() {
  static RegisteredSet sets[] = {
      {&kScalar},
#ifdef ROTOR_KERNELS_X86
      {&avx2::kSet}, {&avxvnni::kSet}, {&avx512::kSet}, {&avx512vnni::kSet},
#endif
#ifdef ROTOR_KERNELS_ARM
      {&neon::kSet}, {&neondot::kSet},
#endif
  };
  return sets;
}

Kernels find_kernels(const std::string& name) {
  std::string names;
  for (RegisteredSet& entry : registered_sets()) {
    if (name == entry.set->name) {
      if (!entry.set->supported()) fail("kernels \"", name, "\": this processor cannot run them");
      return Kernels(entry);
    }
    names += cat(names.empty() ? "" : ", ", entry.set->name);
  }
  fail("kernels \"", name, "\": expected one of ", names);
}

Kernels choose_kernels() {
  if (const char* forced = std::getenv("ROTOR_KERNELS"); forced != nullptr && *forced != '\0') {
    try {
      return find_kernels(forced);
    } catch (const Error& e) {
      fail("ROTOR_KERNELS: ", e.what());
    }
  }
  const auto sets = registered_sets();
  for (size_t i = sets.size(); i-- > 0;) {
    if (sets[i].set->supported()) return Kernels(sets[i]);
  }
  fail("no kernel set runs on this machine");
}

}  // namespace rotor::kernels
