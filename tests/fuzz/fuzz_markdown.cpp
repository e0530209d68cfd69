// Markdown, with front matter and HTML in it, which people fetch from anywhere.
#include "tests/fuzz/exercise_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return rotor::fuzz::exercise_reader(rotor::runtime::rag::FileKind::markdown, data, size);
}
