// Documents and an embedder that tests can reason about.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rag/embedder.h"
#include "runtime/rag/knowledge_base.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {

namespace rag = runtime::rag;

/// A text's vector counts its words, each in a place of its hash: texts with the same words are alike.
class WordEmbedder : public rag::Embedder {
 public:
  explicit WordEmbedder(int64_t dimensions = 64, std::string id = "words")
      : dimensions_(dimensions), id_(std::move(id)) {}

  std::string id() const override { return id_; }
  int64_t dimensions() const override { return dimensions_; }
  int64_t max_tokens() const override { return 256; }
  int64_t count_tokens(std::string_view text) const override { return rag::estimate_tokens(text); }
  std::vector<float> embed(std::span<const std::string> texts, const std::function<bool()>&) override {
    std::vector<float> vectors;
    for (const std::string& text : texts) {
      ++embedded;
      std::vector<float> vector(static_cast<size_t>(dimensions_));
      std::istringstream words(text);
      for (std::string word; words >> word;) {
        uint64_t hash = 1469598103934665603U;
        for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
        vector[hash % vector.size()] += 1.0F;
      }
      float length = 0.0F;
      for (const float value : vector) length += value * value;
      for (float& value : vector) value /= std::sqrt(std::max(length, 1e-12F));
      vectors.insert(vectors.end(), vector.begin(), vector.end());
    }
    return vectors;
  }

  int64_t embedded = 0;  ///< texts so far

 private:
  int64_t dimensions_;
  std::string id_;
};

/// Paragraphs are separated by empty lines; lines that begin with # are headings.
inline rag::Document document_of(const std::string& id, const std::string& text,
                                 Json metadata = Json::object()) {
  rag::Document document{id, "", id + ".txt", std::move(metadata), {}};
  std::istringstream lines(text);
  bool new_block = true;
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const size_t level = std::min(line.find_first_not_of('#'), line.size());
    if (line.empty()) {
      new_block = true;
    } else if (level > 0) {
      document.blocks.push_back(
          {rag::Block::Kind::heading, static_cast<int64_t>(level), line.substr(level), {number, 0}});
      new_block = true;
    } else if (new_block) {
      document.blocks.push_back({rag::Block::Kind::paragraph, 0, line, {number, 0}});
      new_block = false;
    } else {
      document.blocks.back().text += "\n" + line;
    }
  }
  return document;
}

// What the tests' bases are is said by what a program links: files (sqlite_bases.cpp), or schemas on a server
// (postgres/postgres_bases.cpp).

/// The name of a base for a test with this folder.
std::string base_name(const TempDir& dir);
void create_base(const std::string& name, const rag::BaseConfig& config);
std::shared_ptr<rag::Store> open_base(const std::string& name,
                                      const std::function<void(const std::string&)>& say);
/// Expects that all that lies in it twice is the same twice.
void expect_sound(const std::string& name);

/// A base of its own.
class BaseFixture : public ::testing::Test {
 protected:
  /// Its name.
  const std::string& path() const { return path_; }
  void create(const std::string& embedder = "words", int64_t dimensions = 64, rag::ChunkOptions chunks = {}) {
    create_base(path(), {embedder, dimensions, chunks});
  }
  std::shared_ptr<rag::Store> open() {
    return open_base(path(), [this](const std::string& message) { said_ += message + "\n"; });
  }

  TempDir dir_;
  std::string said_;

 private:
  const std::string path_ = base_name(dir_);
};

inline std::vector<std::string> ids_of(const std::vector<rag::Found>& found) {
  std::vector<std::string> ids;
  for (const rag::Found& one : found) ids.push_back(one.chunk.document.id);
  return ids;
}

}  // namespace rotor::test
