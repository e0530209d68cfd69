// tokenizer.json.
#include "rotor/text/bpe_loader.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const std::string_view contents = fuzz::text_of(data, size);
  return fuzz::run(size, [&] {
    const text::BpeDefinition definition = text::read_tokenizer_json(parse_json(contents, "fuzz"), "fuzz");
    fuzz::exercise(text::ByteLevelBpe(definition), contents, !definition.normalize_nfc);
  });
}
