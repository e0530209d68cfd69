// Byte-level BPE of the Llama 3 kind: a regular expression cuts the text into pieces, a piece that is a token
// is taken whole, any other starts as single bytes and is merged by rank. Reference: OpenAI tiktoken, and
// Hugging Face tokenizers with ignore_merges.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "rotor/formats/bpe_tables.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/special_token_table.h"
#include "rotor/text/splitter.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// The split pattern of Llama 3 and BitNet 2B4T.
inline constexpr const char* kLlama3SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

class ByteLevelBpe final : public Tokenizer {
 public:
  /// Throws Error if one of the 256 single bytes is no token, or for a merge whose ids do not exist or whose
  /// result is not left and right.
  explicit ByteLevelBpe(const BpeDefinition& definition);
  /// Works on the tables of `file`, which holds a tokenizer of this kind, where they lie. Reads none but the
  /// ids of bytes and special tokens. Throws Error if these are out of range. What else is damaged gives an
  /// Error when it is met, or wrong ids, never a read outside the file: RotorFile::check() finds it all.
  explicit ByteLevelBpe(std::shared_ptr<const RotorFile> file);
  ~ByteLevelBpe() override;

  std::string kind() const override { return rotor_tokenizer::kByteLevelBpe; }
  int64_t vocab_size() const override { return static_cast<int64_t>(tables_.num_tokens()); }
  std::optional<TokenId> bos() const override { return special("<|begin_of_text|>"); }
  std::optional<TokenId> eos() const override { return special("<|end_of_text|>"); }
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override;
  std::vector<std::pair<std::string, TokenId>> special_tokens() const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id, bool first) const override;
  RotorAttachments attachments() const override;
  /// Merges are always listed, those that were derived from tiktoken ranks too: of one token's in the order
  /// of left and right, as Hugging Face's converter has them. Special tokens are in order of ids.
  TokenizerDefinition definition() const override;

  /// The id of a special token by its name.
  std::optional<TokenId> special(std::string_view name) const { return specials_.find(name); }

 private:
  struct Memory;

  void take_ids();
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_piece(std::string_view piece, std::vector<TokenId>& ids) const;
  void merge_short(std::string_view piece, std::vector<TokenId>& ids) const;
  void merge_long(std::string_view piece, std::vector<TokenId>& ids) const;
  void check_intact() const;

  std::unique_ptr<const Memory> memory_;   // the tables, or
  std::shared_ptr<const RotorFile> file_;  // where they lie
  BpeTables tables_;
  bool normalize_nfc_;
  std::string split_pattern_;
  bool ignore_merges_;
  Splitter splitter_;
  std::array<uint32_t, 256> byte_ids_{};
  SpecialTokenTable specials_;
};

}  // namespace rotor::text
