// WordPiece, the tokenizer of BERT: each word of a text (bert_words.h) is cut from its start into the longest
// tokens there are; a word that cannot be cut so is unknown. Reference: huggingface/tokenizers, WordPiece.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rotor/formats/bpe_tables.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/special_token_table.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

class WordPiece final : public Tokenizer {
 public:
  /// Throws Error for a special token whose text is not that of its id, and for one of the settings' ids that
  /// is no token.
  explicit WordPiece(const WordPieceDefinition& definition);
  /// Works on the tables of `file`, which holds a tokenizer of this kind, where they lie. What is damaged
  /// gives an Error when it is met, or wrong ids, never a read outside the file: RotorFile::check() finds it
  /// all.
  explicit WordPiece(std::shared_ptr<const RotorFile> file);
  ~WordPiece() override;

  std::string kind() const override { return rotor_tokenizer::kWordPiece; }
  int64_t vocab_size() const override { return static_cast<int64_t>(tables_.num_tokens()); }
  /// [CLS] and [SEP], which an encoder puts around a text.
  std::optional<TokenId> bos() const override { return settings_.cls_token; }
  std::optional<TokenId> eos() const override { return settings_.sep_token; }
  /// No special token comes out of `text` unless they are parsed, however it is written.
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override;
  std::vector<std::pair<std::string, TokenId>> special_tokens() const override;
  /// Words with one space between them: what stood between them in a text is not known.
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id, bool first) const override;
  RotorAttachments attachments() const override;
  TokenizerDefinition definition() const override;

  const WordPieceSettings& settings() const { return settings_; }

 private:
  struct Memory;

  void take_ids();
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;
  void encode_word(std::string_view word, std::vector<TokenId>& ids) const;
  void check_intact() const;

  std::unique_ptr<const Memory> memory_;   // the tables, or
  std::shared_ptr<const RotorFile> file_;  // where they lie
  BpeTables tables_;                       // without merges and ids of bytes
  WordPieceSettings settings_;
  SpecialTokenTable specials_;
  size_t longest_token_ = 0;  // bytes
};

}  // namespace rotor::text
