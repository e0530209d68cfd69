#include "tests/fuzz/exercise_reader.h"

#include <algorithm>

#include "rotor/text/stream_decoder.h"
#include "runtime/rag/readers/text.h"
#include "tests/fuzz/harness.h"

namespace rotor::fuzz {

using runtime::rag::Block;
using runtime::rag::Document;
using runtime::rag::FileKind;

int exercise_reader(FileKind kind, const uint8_t* data, size_t size) {
  const std::string_view bytes = text_of(data, size);
  return run(size, [&] {
    const MemoryFile file(bytes);
    const auto is_text = [](const std::string& text) {
      return text::valid_utf8_prefix(text) == text.size() && text.find('\0') == std::string::npos;
    };
    // Lines end with \r, too, and UTF-16 has them as any byte.
    const auto most_lines = static_cast<int64_t>(size) + 1;
    const auto check = [&](const Document& document) {
      require(document.id.starts_with(file.path()), "an id without the path");
      require(is_text(document.id) && is_text(document.title) && is_text(document.source),
              "a field is no UTF-8");
      require(document.metadata.is_object(), "metadata are no object");
      for (const Block& block : document.blocks) {
        require(is_text(block.text), "a block is no UTF-8");
        require(!block.text.empty(), "an empty block");
        require(block.level >= 0 &&
                    (block.kind != Block::Kind::heading || (block.level >= 1 && block.level <= 6)),
                "a level that cannot be");
        require(block.place.line >= 0 && block.place.line <= most_lines && block.place.page == 0,
                "a place outside of the file");
      }
      return true;
    };
    runtime::rag::read_documents(file.path(), {.kind = kind}, check);
  });
}

}  // namespace rotor::fuzz
