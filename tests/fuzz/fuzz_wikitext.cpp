// Wikipedia's markup, without the XML around it.
#include "runtime/rag/readers/text.h"
#include "runtime/rag/readers/wikitext.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const std::string_view text = fuzz::text_of(data, size);
  return fuzz::run(size, [&] {
    for (const runtime::rag::Block& block : runtime::rag::read_wikitext(text)) {
      fuzz::require(!block.text.empty(), "an empty block");
      fuzz::require(
          block.text.find('\x01') == std::string::npos && block.text.find('\x02') == std::string::npos,
          "a mark of our own in the text");
    }
  });
}
