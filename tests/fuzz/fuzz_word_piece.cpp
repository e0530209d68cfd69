// vocab.txt, and tokenizer.json of WordPiece.
#include "rotor/text/word_piece.h"
#include "rotor/text/word_piece_loader.h"
#include "tests/fuzz/exercise_tokenizer.h"
#include "tests/fuzz/harness.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  const std::string_view contents = fuzz::text_of(data, size);
  return fuzz::run(size, [&] {
    const bool is_json = contents.starts_with('{');
    const text::WordPieceDefinition definition =
        is_json ? text::read_word_piece_json(parse_json(contents, "fuzz"), "fuzz")
                : text::read_vocab_txt(contents, "no-such-directory/vocab.txt");
    fuzz::exercise(text::WordPiece(definition), contents, false);
  });
}
