// Grammars in GBNF, which users of a server send: one is refused, or can be followed.
#include "runtime/grammar/gbnf.h"
#include "tests/fuzz/exercise_grammar.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  return fuzz::run(size, [&] {
    fuzz::exercise_grammar(runtime::grammar::parse_gbnf(fuzz::text_of(data, size), "fuzz"), {data, size});
  });
}
