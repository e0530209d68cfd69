// A file is taken apart as far as lengths go, one part is given to LLVMFuzzerMutate, and all is put together.
#include "tests/fuzz/mutators.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace rotor::fuzz {
namespace {

using Random = std::minstd_rand;

/// `bytes` after one of libFuzzer's mutations, at most `room` longer.
std::string mutated(std::string_view bytes, size_t room) {
  std::string result(bytes);
  result.resize(bytes.size() + std::max<size_t>(room, 1));
  result.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(result.data()), bytes.size(), result.size()));
  return result;
}

/// Puts `result` in the place of the input; libFuzzer's own mutation if there is none or it is too long.
size_t give(const std::optional<std::string>& result, uint8_t* data, size_t size, size_t max_size) {
  if (!result || result->size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::memcpy(data, result->data(), result->size());
  return result->size();
}

template <class T>
std::optional<T> load(std::string_view bytes, size_t position) {
  if (position > bytes.size() || bytes.size() - position < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + position, sizeof(T));
  return value;
}

std::string u64(uint64_t value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// What becomes of a part: gone, twice, or changed.
enum class Change { remove, copy, mutate };
Change choose(Random& random) {
  const auto number = random() % 8;
  return number == 0 ? Change::remove : number == 1 ? Change::copy : Change::mutate;
}

/// Finds the texts of a GGUF header; stops where it is no header any more.
class GgufTexts {
 public:
  explicit GgufTexts(std::string_view bytes) : bytes_(bytes) {
    const auto tensors = load<uint64_t>(bytes, 8);
    const auto keys = load<uint64_t>(bytes, 16);
    if (!tensors || !keys) return;
    position_ = 24;
    for (uint64_t i = 0; i < *keys && sound_; ++i) {
      text();
      value(number<uint32_t>());
    }
    for (uint64_t i = 0; i < *tensors && sound_; ++i) {
      text();
      const uint32_t dimensions = number<uint32_t>();
      skip(std::min(dimensions, 8U) * 8U + 12);
    }
  }

  bool sound() const { return sound_ && !texts_.empty(); }
  /// Behind the header.
  size_t end() const { return position_; }
  /// Where the length of each text stands.
  const std::vector<size_t>& texts() const { return texts_; }

 private:
  template <class T>
  T number() {
    const auto value = load<T>(bytes_, position_);
    sound_ = sound_ && value;
    if (sound_) position_ += sizeof(T);
    return value.value_or(0);
  }
  void skip(uint64_t count) {
    sound_ = sound_ && count <= bytes_.size() - position_;
    if (sound_) position_ += count;
  }
  void text() {
    const size_t begin = position_;
    skip(number<uint64_t>());
    if (sound_) texts_.push_back(begin);
  }
  void value(uint32_t type) {
    static constexpr uint8_t kWidths[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    constexpr uint32_t kText = 8;
    constexpr uint32_t kArray = 9;
    uint64_t count = 1;
    if (type == kArray) {
      type = number<uint32_t>();
      count = number<uint64_t>();
    }
    if (type >= std::size(kWidths) || type == kArray) sound_ = false;
    if (!sound_) return;
    if (type != kText) return skip(std::min<uint64_t>(count, bytes_.size()) * kWidths[type]);
    for (uint64_t i = 0; i < count && sound_; ++i) text();
  }

  std::string_view bytes_;
  size_t position_ = 0;
  bool sound_ = true;
  std::vector<size_t> texts_;
};

std::optional<uint64_t> read_varint(std::string_view bytes, size_t& position) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && position < bytes.size(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes[position++]);
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<char>(value | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}

/// A field of a message: its tag, then its contents; `counted` if a length stands between them.
struct ProtoField {
  size_t begin, contents, end;
  bool counted;
};

std::optional<std::vector<ProtoField>> proto_fields(std::string_view message) {
  std::vector<ProtoField> fields;
  for (size_t position = 0; position < message.size();) {
    ProtoField field{position, 0, 0, false};
    const auto tag = read_varint(message, position);
    if (!tag) return std::nullopt;
    field.contents = position;
    uint64_t size = 0;
    switch (*tag & 7) {
      case 0:
        if (!read_varint(message, position)) return std::nullopt;
        break;
      case 1:
        size = 8;
        break;
      case 2: {
        const auto length = read_varint(message, position);
        if (!length) return std::nullopt;
        field.counted = true;
        field.contents = position;
        size = *length;
        break;
      }
      case 5:
        size = 4;
        break;
      default:
        return std::nullopt;
    }
    if (size > message.size() - position) return std::nullopt;
    position += static_cast<size_t>(size);
    field.end = position;
    fields.push_back(field);
  }
  return fields;
}

std::optional<std::string> mutate_message(std::string_view message, size_t room, int depth, Random& random) {
  const auto fields = proto_fields(message);
  if (!fields || fields->empty()) return std::nullopt;
  const ProtoField& field = (*fields)[random() % fields->size()];
  const std::string_view whole = message.substr(field.begin, field.end - field.begin);
  const std::string_view contents = message.substr(field.contents, field.end - field.contents);
  const std::string before(message.substr(0, field.begin));
  const std::string_view after = message.substr(field.end);
  std::string changed;
  const Change change = choose(random);
  if (change == Change::copy) changed.append(whole).append(whole);
  if (change == Change::mutate) {
    size_t position = field.begin;
    static_cast<void>(read_varint(message, position));
    changed = message.substr(field.begin, position - field.begin);
    std::optional<std::string> inner;
    if (field.counted && depth > 0 && random() % 4 != 0) {
      inner = mutate_message(contents, room, depth - 1, random);
    }
    if (!inner) inner = mutated(contents, room);
    if (field.counted) changed += varint(inner->size());
    changed += *inner;
  }
  return before + changed + std::string(after);
}

}  // namespace

size_t mutate_safetensors(uint8_t* data, size_t size, size_t max_size, unsigned seed, size_t data_multiple) {
  Random random(seed);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto length = load<uint64_t>(bytes, 0);
  std::optional<std::string> result;
  if (length && *length <= size - 8 && random() % 8 != 0) {
    const std::string_view header = bytes.substr(8, *length);
    const size_t used = header.find_last_not_of(' ') + 1;
    std::string changed = mutated(header.substr(0, used), max_size - size + (header.size() - used));
    changed.resize((changed.size() + 8 + data_multiple - 1) / data_multiple * data_multiple - 8, ' ');
    result = u64(changed.size()) + changed + std::string(bytes.substr(8 + *length));
  }
  return give(result, data, size, max_size);
}

size_t mutate_gguf(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  constexpr size_t kAlignment = 32;
  Random random(seed);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const GgufTexts found(bytes);
  std::optional<std::string> result;
  if (found.sound() && random() % 4 != 0) {
    const size_t at = found.texts()[random() % found.texts().size()];
    const size_t length = *load<uint64_t>(bytes, at);
    const std::string_view text = bytes.substr(at + 8, length);
    const Change change = choose(random);
    const std::string changed = change == Change::remove ? std::string()
                                : change == Change::copy ? std::string(text) + std::string(text)
                                                         : mutated(text, max_size - size);
    std::string header = std::string(bytes.substr(0, at)) + u64(changed.size()) + changed +
                         std::string(bytes.substr(at + 8 + length, found.end() - (at + 8 + length)));
    header.resize((header.size() + kAlignment - 1) / kAlignment * kAlignment);
    const size_t data_begin = std::min((found.end() + kAlignment - 1) / kAlignment * kAlignment, size);
    result = header + std::string(bytes.substr(data_begin));
  }
  return give(result, data, size, max_size);
}

size_t mutate_protobuf(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  constexpr int kDepth = 2;
  Random random(seed);
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto result =
      random() % 8 == 0 ? std::nullopt : mutate_message(bytes, max_size - size, kDepth, random);
  return give(result, data, size, max_size);
}

}  // namespace rotor::fuzz
