// A kernel set held against the scalar one on this processor: what a user can run where the tests are not.
#pragma once

#include <string>
#include <vector>

#include "rotor/kernels/kernels.h"

namespace rotor::kernels {

struct OpCheck {
  std::string op;      ///< name in KernelSet
  bool equal = false;  ///< to scalar, bit for bit, at every size that was tried
};

/// Every op of `set`, on random values that are the same every time, at sizes with and without rests.
/// The set must run on this processor.
std::vector<OpCheck> check_against_scalar(const KernelSet& set);

}  // namespace rotor::kernels
