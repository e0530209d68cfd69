// The library's processor behind our interface.
#include "rotor/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581, how pieces write a space

}  // namespace

struct SentencePieceTokenizer::Processor {
  sentencepiece::SentencePieceProcessor library;
  bool adds_dummy_prefix = true;
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model, const std::string& path)
    : processor_(std::make_unique<Processor>()) {
  const auto status = processor_->library.LoadFromSerializedProto({model.data(), model.size()});
  if (!status.ok()) fail(path, ": not a SentencePiece model: ", status.message());
  // A letter alone begins with the dummy prefix's space symbol if the model adds one.
  std::vector<std::string> pieces;
  processor_->library.Encode("a", &pieces).IgnoreError();
  processor_->adds_dummy_prefix = !pieces.empty() && pieces[0].starts_with(kSpaceSymbol);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

int64_t SentencePieceTokenizer::vocab_size() const {
  return processor_->library.GetPieceSize();
}

void SentencePieceTokenizer::check(TokenId id) const {
  if (id < 0 || id >= vocab_size()) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
}

std::vector<TokenId> SentencePieceTokenizer::encode(std::string_view text, SpecialTokens) const {
  std::vector<int> ids;
  const auto status = processor_->library.Encode({text.data(), text.size()}, &ids);
  if (!status.ok()) fail("cannot tokenize: ", status.message());
  return {ids.begin(), ids.end()};
}

std::string SentencePieceTokenizer::decode(std::span<const TokenId> ids) const {
  for (const TokenId id : ids) check(id);
  std::string text;
  const auto status = processor_->library.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  if (!status.ok()) fail("cannot decode: ", status.message());
  return text;
}

std::string SentencePieceTokenizer::token_bytes(TokenId id, bool first) const {
  check(id);
  const auto& library = processor_->library;
  if (library.IsControl(id)) return "";
  const std::string& piece = library.IdToPiece(id);
  if (library.IsByte(id))
    return std::string(1, static_cast<char>(std::stoi(piece.substr(3, 2), nullptr, 16)));
  if (library.IsUnknown(id)) return " \xE2\x81\x87 ";  // U+2047, as the library decodes it
  std::string bytes;
  for (size_t i = 0; i < piece.size();) {
    const bool space = std::string_view(piece).substr(i).starts_with(kSpaceSymbol);
    if (!(space && i == 0 && first && processor_->adds_dummy_prefix)) bytes += space ? ' ' : piece[i];
    i += space ? kSpaceSymbol.size() : 1;
  }
  return bytes;
}

}  // namespace rotor::text
