// tokenizer.model, SentencePiece or tiktoken as its contents say.
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"
#include "tests/fuzz/mutators.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  return rotor::fuzz::mutate_protobuf(data, size, max_size, seed);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const std::string_view contents = fuzz::text_of(data, size);
  const fuzz::MemoryFile memory(contents);
  return fuzz::run(size, [&] {
    const auto tokenizer = text::load_tokenizer(memory.path());
    fuzz::exercise(*tokenizer, contents, tokenizer->kind() == "byte_level_bpe");
  });
}
