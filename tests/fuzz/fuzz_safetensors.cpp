// safetensors files of anyone.
#include "rotor/formats/checksum.h"
#include "rotor/formats/safetensors.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/mutators.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return rotor::fuzz::mutate_safetensors(data, size, max_size, seed, 1);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const fuzz::MemoryFile memory(fuzz::text_of(data, size));
  return fuzz::run(size, [&] {
    const SafetensorsFile file(memory.path());
    for (const TensorInfo& tensor : file.tensors()) {
      fuzz::require(file.find(tensor.name) == &tensor, "a tensor is not found by its name");
      static_cast<void>(checksum(file.bytes(tensor)));
      fuzz::attempt([&] { static_cast<void>(file.read_as_float(tensor)); });
      fuzz::attempt([&] { static_cast<void>(file.read<uint8_t>(tensor.name)); });
      fuzz::attempt([&] { static_cast<void>(file.read<double>(tensor.name)); });
    }
  });
}
