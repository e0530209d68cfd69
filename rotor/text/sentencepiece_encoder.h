// Encodes as Google's library does, faster: unigram by the library's own arithmetic on a trie, BPE word by
// word with a memory for words. Time grows with the length of the text, whatever it is.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rotor/text/piece_trie.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/sentencepiece_normalizer.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

class SentencePieceEncoder {
 public:
  /// nullptr for a model with which it could not promise to give what the library gives: word models, BPE
  /// with unused pieces, and two pieces of the same text.
  static std::unique_ptr<const SentencePieceEncoder> make(SentencePieceModel model);

  SentencePieceEncoder(const SentencePieceEncoder&) = delete;
  SentencePieceEncoder& operator=(const SentencePieceEncoder&) = delete;

  /// Token ids of a text, valid UTF-8 or not. A unigram path is chosen by sums of float32 from the start of
  /// the text, as in the library: over millions of bytes their rounding counts, so texts are better given one
  /// by one.
  std::vector<TokenId> encode(std::string_view text) const;

 private:
  class Unigram;
  class Bpe;
  class Output;

  explicit SentencePieceEncoder(SentencePieceModel model);
  void find_cuts();
  size_t next_cut(std::string_view text, size_t from) const;
  TokenId id_of(std::string_view piece) const;
  /// Bytes of the user-defined piece at the start of `text`, or of its first character.
  size_t symbol_bytes(std::string_view text, bool& user_defined) const;
  void encode_characters(std::string_view text, Output& output) const;

  SentencePieceModel model_;
  PieceTrie pieces_;        // of unigram: normal and user-defined ones
  PieceTrie user_defined_;  // these alone
  SentencePieceNormalizer normalizer_;
  std::unordered_map<std::string_view, TokenId> ids_;
  std::vector<double> scores_;  // of unigram, by id
  double unknown_score_ = 0.0;
  TokenId unknown_ = 0;
  std::array<TokenId, 256> byte_ids_{};
  /// A text may be cut in front of a run of spaces: no piece goes on from another character into a space.
  bool cut_at_spaces_ = false;
  /// And around runs of these bytes: pieces with one of them hold nothing else.
  std::array<bool, 256> isolated_{};
};

}  // namespace rotor::text
