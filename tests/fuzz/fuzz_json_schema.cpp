// JSON schemas, which users of a server send: one is refused, or its grammar can be followed.
#include "runtime/grammar/json_schema.h"
#include "tests/fuzz/exercise_grammar.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  return fuzz::run(size, [&] {
    const OrderedJson schema = parse_ordered_json(fuzz::text_of(data, size), "fuzz");
    fuzz::exercise_grammar(runtime::grammar::compile_json_schema(schema, "fuzz"), {data, size});
  });
}
