// How often a program allocates: a program that links allocations.cpp counts.
#pragma once

#include <cstdint>

namespace rotor::test {

/// Calls of operator new so far, in all threads. Always 0 under sanitizers, which have their own.
int64_t allocations();

}  // namespace rotor::test
