// The wire format of protocol buffers, as much of it as models use.
#include "rotor/text/sentencepiece_model.h"

#include <algorithm>
#include <cstring>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

/// Reads the fields of a serialized protobuf message one after another.
class ProtoReader {
 public:
  explicit ProtoReader(std::string_view message) : bytes_(message) {}

  /// The next field; false at the end or where the bytes are no message.
  bool next() {
    uint64_t tag = 0;
    bytes = {};
    number = 0;
    whole = bytes_.empty();
    if (whole || !varint(tag) || tag > UINT32_MAX) return false;
    field = tag >> 3;
    is_counted = (tag & 7) == 2;
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
  uint64_t number = 0;      // of a varint
  std::string_view bytes;   // of any other
  bool is_counted = false;  // those that a length stands before: texts and messages
  bool whole = false;       // there was nothing but fields

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

/// Appends fields to a message.
class ProtoWriter {
 public:
  void number(uint64_t field, uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  /// Negative numbers are written as in 64 bits.
  void id(uint64_t field, int32_t value) { number(field, static_cast<uint64_t>(int64_t{value})); }
  void real(uint64_t field, float value) {
    varint(field << 3 | 5);
    const size_t at = message_.size();
    message_.resize(at + sizeof(value));
    std::memcpy(message_.data() + at, &value, sizeof(value));
  }
  void bytes(uint64_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    message_.append(value);
  }
  const std::string& message() const { return message_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) message_.push_back(static_cast<char>(0x80 | (value & 0x7F)));
    message_.push_back(static_cast<char>(value));
  }

  std::string message_;
};

SentencePieceModel::Piece read_piece(std::string_view message) {
  SentencePieceModel::Piece piece;
  for (ProtoReader field(message); field.next();) {
    if (field.field == 1) piece.text = field.bytes;
    if (field.field == 2 && field.bytes.size() == sizeof(float)) {
      std::memcpy(&piece.score, field.bytes.data(), sizeof(float));
    }
    if (field.field == 3) piece.kind = static_cast<SentencePieceModel::Kind>(field.number);
  }
  return piece;
}

void read_trainer(std::string_view message, SentencePieceModel& model) {
  for (ProtoReader field(message); field.next();) {
    if (field.field == 3) model.type = static_cast<SentencePieceModel::Type>(field.number);
    if (field.field == 24) model.whitespace_is_suffix = field.number != 0;
    if (field.field == 35) model.byte_fallback = field.number != 0;
    if (field.field == 45) model.unknown_piece = field.bytes;
    if (field.field == 46) model.bos_piece = field.bytes;
    if (field.field == 47) model.eos_piece = field.bytes;
    if (field.field == 48) model.pad_piece = field.bytes;
  }
}

void read_normalizer(std::string_view message, SentencePieceModel& model) {
  for (ProtoReader field(message); field.next();) {
    if (field.field == 2) model.charsmap = field.bytes;
    if (field.field == 3) model.add_dummy_prefix = field.number != 0;
    if (field.field == 4) model.remove_extra_whitespaces = field.number != 0;
    if (field.field == 5) model.escape_whitespaces = field.number != 0;
  }
}

}  // namespace

int32_t SentencePieceModel::find(std::string_view text, Kind kind) const {
  const auto found = std::ranges::find_if(
      pieces, [&](const Piece& piece) { return piece.kind == kind && piece.text == text; });
  return found == pieces.end() ? -1 : static_cast<int32_t>(found - pieces.begin());
}

std::vector<std::string_view> find_charsmaps(std::string_view serialized) {
  constexpr uint64_t kNormalizer = 3;
  constexpr uint64_t kDenormalizer = 5;
  constexpr uint64_t kCharsmap = 2;
  const auto require_whole = [](const ProtoReader& reader) {
    if (!reader.whole) fail("no protobuf message");
  };
  std::vector<std::string_view> charsmaps;
  ProtoReader model(serialized);
  while (model.next()) {
    if (!model.is_counted || (model.field != kNormalizer && model.field != kDenormalizer)) continue;
    ProtoReader normalizer(model.bytes);
    while (normalizer.next()) {
      if (normalizer.is_counted && normalizer.field == kCharsmap) charsmaps.push_back(normalizer.bytes);
    }
    require_whole(normalizer);
  }
  require_whole(model);
  return charsmaps;
}

SentencePieceModel read_sentencepiece_model(std::string_view serialized) {
  SentencePieceModel model;
  for (ProtoReader field(serialized); field.next();) {
    if (field.field == 1) model.pieces.push_back(read_piece(field.bytes));
    if (field.field == 2) read_trainer(field.bytes, model);
    if (field.field == 3) read_normalizer(field.bytes, model);
  }
  return model;
}

std::string write_sentencepiece_model(const SentencePieceModel& model) {
  using Kind = SentencePieceModel::Kind;
  ProtoWriter result;
  for (const auto& piece : model.pieces) {
    ProtoWriter entry;
    entry.bytes(1, piece.text);
    entry.real(2, piece.score);
    entry.number(3, static_cast<uint64_t>(piece.kind));
    result.bytes(1, entry.message());
  }
  ProtoWriter trainer;
  trainer.number(3, static_cast<uint64_t>(model.type));
  trainer.number(4, model.pieces.size());
  trainer.number(24, model.whitespace_is_suffix ? 1 : 0);
  trainer.number(35, model.byte_fallback ? 1 : 0);
  trainer.id(40, model.find(model.unknown_piece, Kind::unknown));
  trainer.id(41, model.find(model.bos_piece, Kind::control));
  trainer.id(42, model.find(model.eos_piece, Kind::control));
  trainer.id(43, model.find(model.pad_piece, Kind::control));
  trainer.bytes(45, model.unknown_piece);
  trainer.bytes(46, model.bos_piece);
  trainer.bytes(47, model.eos_piece);
  trainer.bytes(48, model.pad_piece);
  result.bytes(2, trainer.message());
  ProtoWriter normalizer;
  normalizer.bytes(1, model.charsmap.empty() ? "identity" : "user_defined");
  normalizer.bytes(2, model.charsmap);
  normalizer.number(3, model.add_dummy_prefix ? 1 : 0);
  normalizer.number(4, model.remove_extra_whitespaces ? 1 : 0);
  normalizer.number(5, model.escape_whitespaces ? 1 : 0);
  result.bytes(3, normalizer.message());
  return result.message();
}

}  // namespace rotor::text
