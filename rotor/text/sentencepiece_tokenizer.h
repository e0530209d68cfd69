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
  /// The library never parses control tokens from text. Where that is asked for, the text is cut at their
  /// names, and what lies between is encoded as texts of their own, each with the leading space that the
  /// model adds (Llama 2's reference code; transformers' LlamaTokenizerFast with legacy: true; llama.cpp).
  std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const override;
  std::vector<std::pair<std::string, TokenId>> special_tokens() const override;
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
  std::vector<TokenId> encode_text(std::string_view text) const;

  struct Processor;
  std::unique_ptr<Processor> processor_;
};

}  // namespace rotor::text
