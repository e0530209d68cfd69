// What training a tokenizer reads and writes, without the library that trains.
#include <fstream>
#include <memory>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/text/train_sentencepiece.h"

namespace rotor::text {

NextText read_lines(std::vector<std::string> paths) {
  struct Reader {
    std::vector<std::string> paths;
    size_t next = 0;
    std::ifstream in;
  };
  auto reader = std::make_shared<Reader>();
  reader->paths = std::move(paths);
  return [reader](std::string& line) {
    while (!reader->in.is_open() || !std::getline(reader->in, line)) {
      if (reader->in.is_open() && reader->in.bad()) fail(reader->paths[reader->next - 1], ": cannot read");
      if (reader->next == reader->paths.size()) return false;
      const std::string& path = reader->paths[reader->next++];
      reader->in = std::ifstream(path, std::ios::binary);
      if (!reader->in || reader->in.peek() == std::ifstream::traits_type::eof()) {
        if (!reader->in.eof()) fail(path, ": cannot read");
        reader->in.close();  // an empty file
      }
    }
    return true;
  };
}

void train_sentencepiece(const SentencePieceOptions& options, const NextText& texts,
                         const std::string& path) {
  AtomicFile file(path);
  file.write(train_sentencepiece(options, texts));
  file.commit();
}

}  // namespace rotor::text
