// The wire format of protocol buffers, as much of it as models use.
#include "rotor/text/sentencepiece_model.h"

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

}  // namespace rotor::text
