// Tokenizers whose results a test can work out by hand, and corpora to give them.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/attachments.h"
#include "rotor/text/tokenizer.h"
#include "tests/support/temp_dir.h"
#include "train/data/text_config.h"
#include "train/data/token_cache.h"

namespace rotor::test {

inline constexpr text::TokenId kBos = 256;
inline constexpr text::TokenId kEos = 257;

/// A token a byte, behind `prefix` (as SentencePiece puts a space in front of every text). `before_encode`,
/// if set, is called with the number of calls so far.
class ByteTokenizer final : public text::Tokenizer {
 public:
  explicit ByteTokenizer(std::string prefix = "", int64_t vocab_size = 258)
      : prefix_(std::move(prefix)), vocab_size_(vocab_size) {}

  std::string kind() const override { return "bytes"; }
  int64_t vocab_size() const override { return vocab_size_; }
  std::optional<text::TokenId> bos() const override { return std::nullopt; }
  std::optional<text::TokenId> eos() const override { return std::nullopt; }
  RotorAttachments attachments() const override { return {}; }
  text::TokenizerDefinition definition() const override { return text::BpeDefinition{}; }
  std::vector<text::TokenId> encode(std::string_view text, text::SpecialTokens) const override {
    const int64_t call = calls++;
    if (before_encode) before_encode(call);
    std::vector<text::TokenId> ids;
    for (const char c : prefix_ + std::string(text)) ids.push_back(static_cast<uint8_t>(c) + shift);
    return ids;
  }
  std::string decode(std::span<const text::TokenId> ids) const override {
    std::string text;
    for (const text::TokenId id : ids) text += token_bytes(id, false);
    return text.substr(prefix_.size());
  }
  std::string token_bytes(text::TokenId id, bool) const override {
    return std::string(1, static_cast<char>(id - shift));
  }

  std::function<void(int64_t)> before_encode;
  text::TokenId shift = 0;  ///< of all ids
  mutable std::atomic<int64_t> calls = 0;

 private:
  std::string prefix_;
  int64_t vocab_size_;
};

inline std::vector<int64_t> byte_tokens(std::string_view text) {
  std::vector<int64_t> tokens;
  for (const char c : text) tokens.push_back(static_cast<uint8_t>(c));
  return tokens;
}

/// All tokens of a split.
inline std::vector<int64_t> all_tokens(const train::TokenSplit& split) {
  std::vector<int64_t> tokens(static_cast<size_t>(split.info().tokens));
  split.read(0, tokens);
  return tokens;
}

/// A config for `path` below `dir`, with small windows and its tokens in dir/tokens.
inline train::TextDataConfig small_text_config(const TempDir& dir, const std::string& path,
                                               const std::string& type = "text") {
  train::TextDataConfig config;
  config.type = type;
  config.path = dir.file(path);
  config.block_size = 4;
  config.cache_dir = dir.file("tokens");
  return config;
}

/// A few thousand words of one to nine letters, in lines, with a character of two bytes here and there.
inline std::string many_words(int words, uint32_t seed = 1) {
  std::string text;
  for (int i = 0; i < words; ++i) {
    seed = seed * 1664525U + 1013904223U;
    for (uint32_t letter = 0; letter <= (seed >> 8) % 9; ++letter) {
      text += static_cast<char>('a' + (seed >> 12) * (letter + 3) % 26);
    }
    if ((seed >> 20) % 11 == 0) text += "\xC3\xA9";
    text += (seed >> 24) % 13 == 0 ? "\n" : (seed >> 24) % 17 == 0 ? "   " : " ";
  }
  return text;
}

}  // namespace rotor::test
