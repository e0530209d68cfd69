// What the tests of kernel sets share: one test a set that runs here.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rotor/kernels/kernels.h"

namespace rotor::kernels {

/// One test a set that this machine can run; a set that it cannot run is no failure, since another machine
/// tests it.
class KernelSetTest : public ::testing::TestWithParam<std::string> {
 protected:
  Kernels kernels_ = find_kernels(GetParam());
};

inline std::vector<std::string> runnable_sets() {
  std::vector<std::string> names;
  for (const RegisteredSet& entry : registered_sets()) {
    if (entry.set->supported()) names.emplace_back(entry.set->name);
  }
  return names;
}

inline const std::vector<size_t> kSizes = {1, 2, 7, 8, 31, 32, 33, 63, 64, 65, 255, 256, 257, 480, 1000, 4097};

}  // namespace rotor::kernels
