// XXH3 from the xxHash library.
#include "rotor/formats/checksum.h"

#include <xxhash.h>

#include <array>
#include <cstdio>
#include <new>

namespace rotor {
namespace {

std::string text_of(XXH64_hash_t hash) {
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%016llx", static_cast<unsigned long long>(hash));
  return text.data();
}

}  // namespace

std::string checksum(std::span<const uint8_t> bytes) {
  return text_of(XXH3_64bits(bytes.data(), bytes.size()));
}

void Checksum::Free::operator()(void* state) const {
  XXH3_freeState(static_cast<XXH3_state_t*>(state));
}

Checksum::Checksum() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  reset();
}

void Checksum::reset() {
  XXH3_64bits_reset(static_cast<XXH3_state_t*>(state_.get()));
}

void Checksum::add(std::span<const uint8_t> bytes) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state_.get()), bytes.data(), bytes.size());
}

std::string Checksum::text() const {
  return text_of(XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state_.get())));
}

}  // namespace rotor
