// A certificate for tests, made when they run: none lies in the tree, and none expires there.
#pragma once

#include <string>

#include "tests/support/temp_dir.h"

namespace rotor::test {

/// For localhost, signed by itself, valid for an hour; P-256.
class Certificate {
 public:
  Certificate();
  std::string certificate_file() const { return dir_.file("certificate.pem"); }
  std::string key_file() const { return dir_.file("key.pem"); }

 private:
  TempDir dir_;
};

}  // namespace rotor::test
