// How often a test of random inputs tries.
#pragma once

namespace rotor::test {

/// `count`; a fifth of it under sanitizers, where a round takes ten times as long.
constexpr int rounds(int count) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return count / 5;
#else
  return count;
#endif
}

}  // namespace rotor::test
