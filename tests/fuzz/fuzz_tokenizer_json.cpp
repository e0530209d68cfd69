// tokenizer.json.
#include "rotor/text/bpe_loader.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const std::string_view contents = fuzz::text_of(data, size);
  return fuzz::run(size, [&] {
    const text::ByteLevelBpe tokenizer(text::read_tokenizer_json(contents, "fuzz"));
    fuzz::exercise(tokenizer, contents, true);
  });
}
