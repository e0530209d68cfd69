// GGUF files: the container with every value, the tokenizer, and a model of which every tensor is read.
#include "rotor/formats/gguf_source.h"
#include "rotor/text/gguf_tokenizer.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/mutators.h"

namespace {

using namespace rotor;

void read_values(const GgufFile& file) {
  for (const std::string& key : file.keys()) {
    fuzz::attempt([&] { static_cast<void>(file.describe(key)); });
    fuzz::attempt([&] { static_cast<void>(file.integer(key)); });
    fuzz::attempt([&] { static_cast<void>(file.number(key)); });
    fuzz::attempt([&] { static_cast<void>(file.boolean(key)); });
    fuzz::attempt([&] { static_cast<void>(file.text(key)); });
    fuzz::attempt([&] { static_cast<void>(file.texts(key)); });
    fuzz::attempt([&] { static_cast<void>(file.integers(key)); });
    fuzz::attempt([&] { static_cast<void>(file.floats(key)); });
  }
  for (const GgufTensorInfo& tensor : file.tensors()) {
    fuzz::require(file.find(tensor.name) == &tensor, "a tensor is not found by its name");
    fuzz::require(file.bytes(tensor).size() == tensor.end - tensor.begin,
                  "a tensor has other bytes than it says");
  }
}

void read_model(const std::string& path, I2sOrder order) {
  const GgufSource source(path, {order, true});
  static_cast<void>(source.format());
  for (const TensorSpec& spec : tensor_table(source.config())) {
    fuzz::attempt([&] {
      if (!is_ternary(source.config(), spec)) {
        static_cast<void>(source.tensor(spec));
        return;
      }
      fuzz::attempt([&] { static_cast<void>(source.scale(spec)); });
      std::vector<int8_t> trits(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
      source.read_trits(spec, 0, spec.shape[0], trits);
      for (const int8_t trit : trits) fuzz::require(trit >= -1 && trit <= 1, "a weight is not ternary");
    });
  }
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate_gguf(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::MemoryFile memory(fuzz::text_of(data, size));
  return fuzz::run(size, [&] {
    {
      const GgufFile file(memory.path());
      read_values(file);
      fuzz::attempt([&] {
        const auto tokenizer = text::tokenizer_of(file);
        if (tokenizer != nullptr) fuzz::exercise(*tokenizer, fuzz::text_of(data, size), true);
      });
    }
    fuzz::attempt([&] { read_model(memory.path(), I2sOrder::x86); });
    read_model(memory.path(), I2sOrder::arm);
  });
}
