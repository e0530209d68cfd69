// Mutations that keep the lengths of a format right, so that more than the first check sees them. Each leaves
// some inputs to libFuzzer's own mutations, which break lengths too. All have the form of
// LLVMFuzzerCustomMutator: they change `data` of `size` bytes in place, and return the new size, at most
// `max_size`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rotor::fuzz {

/// Changes the JSON header and writes its length again; the data start at a multiple of `data_multiple` if
/// they did.
size_t mutate_safetensors(uint8_t* data, size_t size, size_t max_size, unsigned seed, size_t data_multiple);

/// Changes, copies or removes a text of a GGUF header (a key, a name, an item), and keeps the data aligned.
size_t mutate_gguf(uint8_t* data, size_t size, size_t max_size, unsigned seed);

/// Changes, copies or removes a field of a serialized protobuf message or of a message in it.
size_t mutate_protobuf(uint8_t* data, size_t size, size_t max_size, unsigned seed);

}  // namespace rotor::fuzz
