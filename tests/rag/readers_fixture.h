// Files that readers read, and what became of them as one text to compare.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/rag/readers/reader.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

namespace rag = runtime::rag;

/// A line a block: kind, level if it has one, "@line" or "/page" if it has one, the text with "~" for line
/// ends. "h2@3 Bees", "p@5 They fly.~Far."
inline std::string outline(const std::vector<rag::Block>& blocks) {
  std::string all;
  for (const rag::Block& block : blocks) {
    std::string text = block.text;
    for (char& c : text) c = c == '\n' ? '~' : c;
    all += cat("hpict"[static_cast<size_t>(block.kind)]);
    if (block.level > 0) all += cat(block.level);
    if (block.place.line > 0) all += cat('@', block.place.line);
    if (block.place.page > 0) all += cat('/', block.place.page);
    all += cat(' ', text, '\n');
  }
  return all;
}

inline std::string outline(const rag::Document& document) {
  return outline(document.blocks);
}

class ReaderTest : public ::testing::Test {
 protected:
  /// The path of a file with these bytes.
  std::string write(const std::string& name, std::string_view bytes) const {
    write_bytes(dir_.file(name), bytes);
    return dir_.file(name);
  }
  static std::vector<rag::Document> read_all(const std::string& path, const rag::ReadOptions& options = {}) {
    std::vector<rag::Document> documents;
    rag::read_documents(path, options, [&](rag::Document document) {
      documents.push_back(std::move(document));
      return true;
    });
    return documents;
  }
  /// Of a file with one document.
  static rag::Document read(const std::string& path, const rag::ReadOptions& options = {}) {
    const std::vector<rag::Document> documents = read_all(path, options);
    if (documents.size() != 1) fail(path, ": expected one document, found ", documents.size());
    return documents[0];
  }
  rag::Document read_bytes_as(const std::string& name, std::string_view bytes,
                              const rag::ReadOptions& options = {}) const {
    return read(write(name, bytes), options);
  }

  TempDir dir_;
};

}  // namespace rotor::test
