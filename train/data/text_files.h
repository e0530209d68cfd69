// The files of a text corpus.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rotor::train {

enum class TextFormat {
  text,  ///< a file is a document
  jsonl  ///< a line is a JSON object with the document in one of its fields
};

/// Throws Error unless `name` is "text" or "jsonl".
TextFormat text_format(const std::string& name);

/// A file, and what tells whether it was changed since.
struct TextFile {
  std::string path;
  std::string name;  ///< below the corpus's directory; the file name if the corpus is a file
  int64_t file_bytes = 0;
  int64_t mtime_ns = 0;
};

/// The files of the corpus at `path`, a file or a directory. Of a directory: all *.txt and *.md (text) or
/// *.jsonl below it, ordered by the bytes of their names; links to directories are not followed. Throws Error
/// if something cannot be read, if there is no such file, or if all are empty.
std::vector<TextFile> list_text_files(const std::string& path, TextFormat format);

int64_t total_bytes(const std::vector<TextFile>& files);

}  // namespace rotor::train
