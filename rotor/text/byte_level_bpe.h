// Byte-level BPE of the Llama 3 kind: a regular expression cuts the text into pieces, a piece that is a token
// is taken whole, any other starts as single bytes and is merged by rank. Reference: OpenAI tiktoken, and
// Hugging Face tokenizers with ignore_merges.
#pragma once

#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rotor/text/splitter.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// What defines one.
struct BpeDefinition {
  std::string split_pattern;
  std::vector<std::string> tokens;  ///< bytes of each id; specials too; an unused id has no bytes
  /// Merges in order of rank: the ids of left, right and result. Empty: every token of two or more bytes is
  /// the merge of any two tokens that make it up, ranked by its id (tiktoken).
  struct Merge {
    TokenId left, right, result;
  };
  std::vector<Merge> merges;
  std::vector<std::pair<std::string, TokenId>> specials;
  bool ignore_merges = true;  ///< a piece that is a token is taken whole before any merge
};

/// The split pattern of Llama 3 and BitNet 2B4T.
extern const char* const kLlama3SplitPattern;

class ByteLevelBpe final : public Tokenizer {
 public:
  /// Throws Error if one of the 256 single bytes is no token, or if a merge names an id that does not exist.
  explicit ByteLevelBpe(BpeDefinition definition);

  int64_t vocab_size() const override { return static_cast<int64_t>(tokens_.size()); }
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id, bool first) const override;

 private:
  struct MergeRule {
    int32_t rank;
    TokenId result;
  };
  struct StringHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  void derive_merges();
  void add_merge(TokenId left, TokenId right, MergeRule rule);
  const MergeRule* find_merge(TokenId left, TokenId right) const;
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_piece(std::string_view piece, std::vector<TokenId>& ids) const;
  void merge_short(std::vector<TokenId>& parts) const;
  void merge_long(std::vector<TokenId>& parts) const;

  Splitter splitter_;
  std::vector<std::string> tokens_;
  bool ignore_merges_;
  std::unordered_map<std::string, TokenId, StringHash, std::equal_to<>> id_of_;
  std::unordered_map<uint64_t, MergeRule> merges_;
  std::vector<TokenId> byte_ids_;                          // [256]
  std::vector<std::pair<std::string, TokenId>> specials_;  // longest first
};

}  // namespace rotor::text
