// Wikipedia's dumps: XML, bzip2 and wikitext, which people fetch from anywhere.
#include "tests/fuzz/exercise_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  return rotor::fuzz::exercise_reader(rotor::runtime::rag::FileKind::wikipedia, data, size);
}
