// SentencePiece models (unigram, BPE, char), through Google's library.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rotor/text/tokenizer.h"

namespace rotor::text {

class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// `model`: the contents of a model file. Throws Error naming `path` if they are none.
  SentencePieceTokenizer(std::string_view model, const std::string& path);
  ~SentencePieceTokenizer() override;

  std::string kind() const override;
  int64_t vocab_size() const override;
  /// SentencePiece never parses control tokens from text: both kinds of `special` are the same.
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override;
  std::string decode(std::span<const TokenId> ids) const override;
  std::string token_bytes(TokenId id, bool first) const override;
  std::optional<TokenId> bos() const override;
  std::optional<TokenId> eos() const override;
  RotorAttachments attachments() const override;
  TokenizerDefinition definition() const override;

  /// Whether SentencePieceEncoder encodes; else the library does, as for word models, which is slower and
  /// takes time by more than the length of a text.
  bool is_fast() const;

 private:
  void check(TokenId id) const;

  struct Processor;
  std::unique_ptr<Processor> processor_;
};

}  // namespace rotor::text
