// The library's processor behind our interface.
#include "rotor/text/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <unordered_map>

#include "rotor/core/error.h"
#include "rotor/formats/attachments.h"
#include "rotor/text/sentencepiece.h"

namespace rotor::text {
namespace {

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581, how pieces write a space

/// Reads the fields of a serialized protobuf message one after another.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view message) : bytes_(message) {}

  /// The next field; false at the end or where the bytes are no message.
  bool next() {
    uint64_t tag = 0;
    if (bytes_.empty() || !varint(tag)) return false;
    field = tag >> 3;
    switch (tag & 7) {
      case 0:
        return varint(number);
      case 1:
        return take(8);
      case 2:
        return varint(number) && take(number);
      case 5:
        return take(4);
      default:
        return false;
    }
  }

  uint64_t field = 0;
  uint64_t number = 0;     // of a varint
  std::string_view bytes;  // of any other

 private:
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && !bytes_.empty(); shift += 7) {
      const auto byte = static_cast<uint8_t>(bytes_[0]);
      bytes_.remove_prefix(1);
      value |= uint64_t{byte & 0x7FU} << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }
  bool take(uint64_t size) {
    if (size > bytes_.size()) return false;
    bytes = bytes_.substr(0, static_cast<size_t>(size));
    bytes_.remove_prefix(static_cast<size_t>(size));
    return true;
  }

  std::string_view bytes_;
};

/// Whether the model normalises nothing but spaces to U+2581, keeps runs of them, and writes them at the
/// start of words (sentencepiece_model.proto: ModelProto.normalizer_spec = 3 with name = 1,
/// remove_extra_whitespaces = 4; trainer_spec = 2 with treat_whitespace_as_suffix = 24).
bool keeps_text_as_it_is(std::string_view model) {
  bool identity = false;
  bool removes_spaces = true;  // the proto's default
  bool suffix = false;
  for (ProtoReader message(model); message.next();) {
    for (ProtoReader spec(message.bytes); message.field == 3 && spec.next();) {
      if (spec.field == 1) identity = spec.bytes == "identity";
      if (spec.field == 4) removes_spaces = spec.number != 0;
    }
    for (ProtoReader spec(message.bytes); message.field == 2 && spec.next();) {
      if (spec.field == 24) suffix = spec.number != 0;
    }
  }
  return identity && !removes_spaces && !suffix;
}

}  // namespace

struct SentencePieceTokenizer::Processor {
  sentencepiece::SentencePieceProcessor library;
  std::string serialized;
  bool adds_dummy_prefix = true;
  /// Whether a text may be cut in front of each run of spaces and the words tokenized one by one: no piece
  /// goes on from another character into a space, so no merge and no path crosses such a cut.
  bool can_cut = false;
  TokenId space_id = 0;

  void decide_cutting(std::string_view model) {
    can_cut = adds_dummy_prefix && keeps_text_as_it_is(model);
    space_id = library.PieceToId(std::string(kSpaceSymbol));
    if (library.IsUnknown(space_id)) can_cut = false;
    for (int id = 0; can_cut && id < library.GetPieceSize(); ++id) {
      std::string_view rest = library.IdToPiece(id);
      while (rest.starts_with(kSpaceSymbol)) rest.remove_prefix(kSpaceSymbol.size());
      if (rest.find(kSpaceSymbol) != std::string_view::npos || rest.find(' ') != std::string_view::npos)
        can_cut = false;
    }
  }

  void encode(std::string_view text, std::vector<int>& ids) const {
    const auto status = library.Encode({text.data(), text.size()}, &ids);
    if (!status.ok()) fail("cannot tokenize: ", status.message());
  }
};

namespace {

/// The first place after `from` where a run of spaces begins behind another character; the end if there is
/// none. A U+2581 of the text itself counts as a space, so there is no cut behind it.
size_t next_cut(std::string_view text, size_t from) {
  for (size_t space = text.find(' ', from + 1); space != std::string_view::npos;
       space = text.find(' ', space + 1)) {
    if (text[space - 1] != ' ' && !text.substr(0, space).ends_with(kSpaceSymbol)) return space;
  }
  return text.size();
}

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(std::string_view model, const std::string& path)
    : processor_(std::make_unique<Processor>()) {
  const auto status = processor_->library.LoadFromSerializedProto({model.data(), model.size()});
  if (!status.ok()) fail(path, ": not a SentencePiece model: ", status.message());
  // A letter alone begins with the dummy prefix's space symbol if the model adds one.
  std::vector<std::string> pieces;
  processor_->library.Encode("a", &pieces).IgnoreError();
  processor_->adds_dummy_prefix = !pieces.empty() && pieces[0].starts_with(kSpaceSymbol);
  processor_->decide_cutting(model);
  processor_->serialized = model;
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

void SentencePieceTokenizer::check(TokenId id) const {
  if (id < 0 || id >= vocab_size()) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
}

std::vector<TokenId> SentencePieceTokenizer::encode(std::string_view text, SpecialTokens) const {
  std::vector<int> ids;
  if (!processor_->can_cut) {
    processor_->encode(text, ids);
    return {ids.begin(), ids.end()};
  }
  // The library takes time and memory by the length of what it is given, so it gets single words, each once a
  // text.
  constexpr size_t kMaxWords = size_t{1} << 17;
  std::unordered_map<std::string_view, std::vector<int>> words;
  std::vector<TokenId> result;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = next_cut(text, begin);
    // The dummy prefix stands for the space in front of every word but the first.
    const std::string_view word = text.substr(begin + (begin > 0), end - begin - (begin > 0));
    begin = end;
    if (word.empty()) {  // the text ends with a space
      result.push_back(processor_->space_id);
      continue;
    }
    if (words.size() >= kMaxWords) words.clear();
    const auto [entry, is_new] = words.try_emplace(word);
    if (is_new) processor_->encode(word, entry->second);
    result.insert(result.end(), entry->second.begin(), entry->second.end());
  }
  return result;
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
