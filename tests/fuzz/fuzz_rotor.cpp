// .rotor files: opened, verified, every matrix taken out, the tokenizer used.
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/formats/rotor_file.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/mutators.h"

namespace {

using namespace rotor;

/// Makes the header checksum right, so that the fuzzer gets past it.
void seal(std::string& bytes) {
  const std::string field = cat("\"", rotor_key::kHeaderChecksum, "\":\"");
  const size_t at = bytes.find(field);
  uint64_t length = 0;
  if (at == std::string::npos || at + field.size() + 16 > bytes.size()) return;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > bytes.size() - sizeof(length)) return;
  bytes.replace(at + field.size(), 16, kBlankChecksum);
  const std::string sum = checksum(
      {reinterpret_cast<const uint8_t*>(bytes.data()), sizeof(length) + static_cast<size_t>(length)});
  bytes.replace(at + field.size(), 16, sum);
}

/// A sum over the bytes, so that each is read.
template <class Values>
void touch(Values values) {
  volatile unsigned sum = 0;
  for (const std::byte byte : std::as_bytes(values)) sum = sum + static_cast<unsigned>(byte);
}

void read_matrices(const RotorFile& file) {
  for (const TensorSpec& spec : tensor_table(file.config())) {
    fuzz::attempt([&] {
      if (is_ternary(file.config(), spec)) {
        touch(file.ternary(spec.name).tiles);
      } else if (spec.role == TensorRole::embedding ||
                 (file.config().is_encoder() && spec.role == TensorRole::linear)) {
        const DenseMatrix matrix = file.dense(spec.name);
        touch(std::span(matrix.data,
                        file.container().at(spec.name).end - file.container().at(spec.name).begin));
        touch(matrix.row_scales);
      } else {
        touch(file.floats(spec.name));
      }
    });
  }
  fuzz::attempt([&] {
    const HeadScreen screen = file.head_screen();
    touch(screen.planes.tiles);
    for (const auto values : {screen.scales, screen.errors, screen.mean, screen.spread}) touch(values);
  });
}

}  // namespace

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return fuzz::mutate_safetensors(data, size, max_size, seed, kRotorDataMultiple);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 8) return 0;
  std::string bytes(fuzz::text_of(data, size));
  seal(bytes);
  const fuzz::MemoryFile memory(bytes);
  return fuzz::run(size, [&] {
    const RotorFile file(memory.path());
    static_cast<void>(file.verify());
    read_matrices(file);
    const auto tokenizer = text::tokenizer_of(file);
    if (tokenizer != nullptr) fuzz::exercise(*tokenizer, bytes, false);
  });
}
