// The library's processor behind our interface, and our encoder where it gives the same.
#include "rotor/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include "rotor/core/error.h"
#include "rotor/formats/attachments.h"
#include "rotor/text/sentencepiece.h"
#include "rotor/text/sentencepiece_encoder.h"

namespace rotor::text {
namespace {

/// Where the encoder and this version of the library could differ: spaces, what normalizers change, runs,
/// control and byte pieces by name, characters that are no pieces, and bytes that are no characters.
constexpr std::string_view kProbe =
    "  Hello, World!  The quick brown fox\n\n\tjumps 1234567 times \xE2\x96\x81 <s></s><unk><0x41> "
    "aaaaaaaaaaaa "
    "\xEF\xBC\xA1\xEF\xAC\x81 e\xCC\x81 \xC2\xA0\xE3\x80\x80 \xE6\xBC\xA2\xE5\xAD\x97 "
    "\xF0\x9F\x98\x80\xF0\x9F\x98\x80 \xFF\xC3 \xE2\x80\x8B-- it's \r\n  ";

}  // namespace

struct SentencePieceTokenizer::Processor {
  sentencepiece::SentencePieceProcessor library;
  std::string serialized;
  bool adds_dummy_prefix = true;
  std::vector<std::pair<std::string, TokenId>> controls;  // control tokens by their names
  std::unique_ptr<const SentencePieceEncoder> encoder;    // none: the library encodes

  void choose_encoder() {
    // Published ones have 262,144 at most; of a model of nothing but pieces the encoder would take 50 times
    // its size.
    constexpr int kMostPieces = 300'000;
    if (library.GetPieceSize() > kMostPieces) return;
    SentencePieceModel model = read_sentencepiece_model(serialized);
    if (model.pieces.size() != static_cast<size_t>(library.GetPieceSize())) return;
    encoder = SentencePieceEncoder::make(std::move(model));
    if (encoder != nullptr && encoder->encode(kProbe) != encode(kProbe))
      encoder.reset();  // a library that works in another way
  }

  std::vector<TokenId> encode(std::string_view text) const {
    std::vector<int> ids;
    const auto status = library.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) fail("cannot tokenize: ", status.message());
    return {ids.begin(), ids.end()};
  }
};

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model, const std::string& path)
    : processor_(std::make_unique<Processor>()) {
  try {
    for (const std::string_view charsmap : find_charsmaps(model)) check_charsmap(charsmap);
    const auto status = processor_->library.LoadFromSerializedProto({model.data(), model.size()});
    if (!status.ok()) fail(status.message());
  } catch (const std::exception& e) {  // the library throws for a piece with a zero byte
    fail(path, ": not a SentencePiece model: ", e.what());
  }
  // A letter alone begins with the dummy prefix's space symbol if the model adds one.
  std::vector<std::string> pieces;
  processor_->library.Encode("a", &pieces).IgnoreError();
  processor_->adds_dummy_prefix = !pieces.empty() && pieces[0].starts_with(kSpaceSymbol);
  for (int id = 0; id < processor_->library.GetPieceSize(); ++id) {
    const std::string& name = processor_->library.IdToPiece(id);
    if (processor_->library.IsControl(id) && !name.empty()) processor_->controls.emplace_back(name, id);
  }
  processor_->serialized = model;
  processor_->choose_encoder();
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

int64_t SentencePieceTokenizer::vocab_size() const {
  return processor_->library.GetPieceSize();
}

std::string SentencePieceTokenizer::kind() const {
  return rotor_tokenizer::kSentencePiece;
}

std::optional<TokenId> SentencePieceTokenizer::bos() const {
  const int id = processor_->library.bos_id();
  return id < 0 ? std::nullopt : std::optional<TokenId>(id);
}

std::optional<TokenId> SentencePieceTokenizer::eos() const {
  const int id = processor_->library.eos_id();
  return id < 0 ? std::nullopt : std::optional<TokenId>(id);
}

RotorAttachments SentencePieceTokenizer::attachments() const {
  const std::string& model = processor_->serialized;
  AttachedTensor tensor;
  tensor.name = kSentencePieceTensor;
  tensor.dtype = DType::u8;
  tensor.shape = {static_cast<int64_t>(model.size())};
  tensor.data.assign(model.begin(), model.end());
  RotorAttachments result;
  result.tensors.push_back(std::move(tensor));
  result.metadata = {{rotor_key::kTokenizer, kind()}};
  if (const auto id = bos()) result.set_bos_token(*id);
  if (const auto id = eos()) result.set_stop_tokens({*id});
  return result;
}

TokenizerDefinition SentencePieceTokenizer::definition() const {
  return SentencePieceDefinition{processor_->serialized};
}

void SentencePieceTokenizer::check(TokenId id) const {
  if (id < 0 || id >= vocab_size()) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
}

std::vector<TokenId> SentencePieceTokenizer::encode_text(std::string_view text) const {
  return processor_->encoder != nullptr ? processor_->encoder->encode(text) : processor_->encode(text);
}

std::vector<TokenId> SentencePieceTokenizer::encode(std::string_view text, SpecialTokens special) const {
  if (special == SpecialTokens::as_text) return encode_text(text);
  std::vector<size_t> next;  // where each control token comes next
  for (const auto& [name, id] : processor_->controls) next.push_back(text.find(name));
  std::vector<TokenId> ids;
  const auto add_text = [&](size_t begin, size_t end) {
    if (begin == end) return;
    const std::vector<TokenId> part = encode_text(text.substr(begin, end - begin));
    ids.insert(ids.end(), part.begin(), part.end());
  };
  for (size_t begin = 0;;) {
    size_t first = text.size();
    size_t which = 0;
    for (size_t i = 0; i < next.size(); ++i) {
      const auto& [name, id] = processor_->controls[i];
      if (next[i] < begin) next[i] = text.find(name, begin);
      const bool is_longer = name.size() > processor_->controls[which].first.size();
      if (next[i] >= text.size() || next[i] > first || (next[i] == first && !is_longer)) continue;
      first = next[i];
      which = i;
    }
    add_text(begin, first);
    if (first == text.size()) return ids;
    ids.push_back(processor_->controls[which].second);
    begin = first + processor_->controls[which].first.size();
  }
}

std::vector<std::pair<std::string, TokenId>> SentencePieceTokenizer::special_tokens() const {
  return {processor_->controls.begin(), processor_->controls.end()};
}

bool SentencePieceTokenizer::is_fast() const {
  return processor_->encoder != nullptr;
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

std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, const std::string& path) {
  return std::make_unique<SentencePieceTokenizer>(model, path);
}

}  // namespace rotor::text
