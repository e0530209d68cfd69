// Walks the header once. Everything that the file claims is checked against its size: a string or an array is
// looked at where it lies, so a small file cannot make the reader allocate much.
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/formats/gguf.h"
#include "rotor/formats/lfs_pointer.h"

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and are used where they lie");

namespace rotor {
namespace {

constexpr size_t kMostDimensions = 4;
constexpr uint64_t kMostTensors = 1 << 20;
constexpr size_t kLongestName = 1024;

struct TypeFormat {
  GgufType type;
  const char* name;
  int64_t block;  // elements
  size_t bytes;   // of a block
};

constexpr std::array kFormats = {
    TypeFormat{GgufType::f32, "F32", 1, 4},        TypeFormat{GgufType::f16, "F16", 1, 2},
    TypeFormat{GgufType::bf16, "BF16", 1, 2},      TypeFormat{GgufType::q4_0, "Q4_0", 32, 18},
    TypeFormat{GgufType::q8_0, "Q8_0", 32, 34},    TypeFormat{GgufType::q6_k, "Q6_K", 256, 210},
    TypeFormat{GgufType::tq1_0, "TQ1_0", 256, 54}, TypeFormat{GgufType::tq2_0, "TQ2_0", 256, 66},
    TypeFormat{GgufType::i2_s, "I2_S", 4, 1},
};

/// Types that people meet and that are not read here; ggml.h.
constexpr std::array<std::pair<uint32_t, const char*>, 27> kOtherTypes = {{
    {3, "Q4_1"},          {6, "Q5_0"},     {7, "Q5_1"},     {9, "Q8_1"},     {10, "Q2_K"},   {11, "Q3_K"},
    {12, "Q4_K"},         {13, "Q5_K"},    {15, "Q8_K"},    {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"},        {20, "IQ4_NL"},  {21, "IQ3_S"},   {22, "IQ2_S"},   {23, "IQ4_XS"}, {24, "I8"},
    {25, "I16"},          {26, "I32"},     {27, "I64"},     {28, "F64"},     {29, "IQ1_M"},  {38, "TL1"},
    {39, "TL2 or MXFP4"}, {135, "IQ2_BN"}, {134, "IQ1_BN"},
}};

const TypeFormat* find_format(GgufType type) {
  const auto found =
      std::find_if(kFormats.begin(), kFormats.end(), [&](const TypeFormat& f) { return f.type == type; });
  return found == kFormats.end() ? nullptr : &*found;
}

template <class T>
T load(std::span<const uint8_t> bytes, size_t position) {
  T value;
  std::memcpy(&value, bytes.data() + position, sizeof(T));
  return value;
}

}  // namespace

std::string gguf_type_name(GgufType type) {
  if (const TypeFormat* format = find_format(type)) return format->name;
  const auto number = static_cast<uint32_t>(type);
  for (const auto& [other, name] : kOtherTypes) {
    if (other == number) return cat("type ", number, " (", name, ")");
  }
  return cat("type ", number);
}

int64_t GgufTensorInfo::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

std::optional<size_t> gguf_bytes(GgufType type, int64_t elements, int64_t columns) {
  const TypeFormat* format = find_format(type);
  if (format == nullptr) return std::nullopt;
  // I2_S packs the flattened tensor, and its scale comes behind, in 32 bytes.
  const int64_t unit = type == GgufType::i2_s ? elements : columns;
  if (unit % format->block != 0) {
    fail(gguf_type_name(type), ": expected a multiple of ", format->block,
         type == GgufType::i2_s ? " elements, found " : " columns, found ", unit);
  }
  const size_t blocks = static_cast<size_t>(elements / format->block);
  size_t bytes = 0;
  if (__builtin_mul_overflow(blocks, format->bytes, &bytes) ||
      __builtin_add_overflow(bytes, type == GgufType::i2_s ? 32 : 0, &bytes)) {
    fail(gguf_type_name(type), ": the size of ", elements, " elements overflows");
  }
  return bytes;
}

/// Reads the header from front to back.
class GgufFile::Cursor {
 public:
  Cursor(const std::string& path, std::span<const uint8_t> bytes) : path_(path), bytes_(bytes) {}

  size_t position() const { return position_; }
  size_t left() const { return bytes_.size() - position_; }

  void skip(size_t count, const std::string& what) {
    if (count > left()) {
      fail(path_, ": ", what, ": expected ", count, " bytes more, found ", left(),
           ": the file is truncated, or damaged");
    }
    position_ += count;
  }
  template <class T>
  T take(const std::string& what) {
    skip(sizeof(T), what);
    return load<T>(bytes_, position_ - sizeof(T));
  }
  std::string_view text(const std::string& what) {
    const auto length = take<uint64_t>(what);
    skip(length, what);
    return {reinterpret_cast<const char*>(bytes_.data()) + position_ - length, length};
  }

 private:
  const std::string& path_;
  std::span<const uint8_t> bytes_;
  size_t position_ = 0;
};

size_t GgufFile::width(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    case ValueType::string:
    case ValueType::array:
      break;
  }
  return 0;
}

bool GgufFile::is_integer(ValueType type) {
  return width(type) > 0 && type != ValueType::f32 && type != ValueType::f64 && type != ValueType::boolean;
}

GgufFile::GgufFile(const std::string& path) : file_(path) {
  parse();
}

GgufFile::Value GgufFile::parse_value(Cursor& cursor, const std::string& key) const {
  const auto read_type = [&] {
    const auto number = cursor.take<uint32_t>(key);
    if (number > static_cast<uint32_t>(ValueType::f64)) {
      fail(path(), ": key \"", key, "\": expected a value of type 0 to 12, found ", number);
    }
    return static_cast<ValueType>(number);
  };
  Value value{read_type(), false, 1, 0};
  if (value.type == ValueType::array) {
    value = {read_type(), true, 0, 0};
    value.count = cursor.take<uint64_t>(key);
    if (value.type == ValueType::array) fail(path(), ": key \"", key, "\": arrays of arrays are not read");
  }
  value.position = cursor.position();
  if (value.type == ValueType::string) {
    for (uint64_t i = 0; i < value.count; ++i) cursor.text(key);
    return value;
  }
  size_t bytes = 0;
  if (__builtin_mul_overflow(value.count, width(value.type), &bytes)) {
    fail(path(), ": key \"", key, "\": an array of ", value.count, " items is past the end of the file");
  }
  cursor.skip(bytes, cat("key \"", key, "\""));
  return value;
}

void GgufFile::parse_tensors(Cursor& cursor, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    const std::string at = cat("tensor ", i);
    GgufTensorInfo tensor;
    tensor.name = cursor.text(at);
    const std::string where = cat(path(), ": tensor \"", tensor.name.substr(0, kLongestName), "\": ");
    if (tensor.name.size() > kLongestName) fail(where, "a name of ", tensor.name.size(), " bytes");
    const auto dimensions = cursor.take<uint32_t>(at);
    if (dimensions < 1 || dimensions > kMostDimensions) {
      fail(where, "expected 1 to ", kMostDimensions, " dimensions, found ", dimensions);
    }
    int64_t elements = 1;
    for (uint32_t d = 0; d < dimensions; ++d) {
      const auto size = cursor.take<uint64_t>(at);
      if (size < 1 || size > static_cast<uint64_t>(INT64_MAX) ||
          __builtin_mul_overflow(elements, static_cast<int64_t>(size), &elements)) {
        fail(where, "its dimensions overflow, or one of them is 0");
      }
      tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));  // innermost first in the file
    }
    tensor.type = static_cast<GgufType>(cursor.take<uint32_t>(at));
    tensor.begin = cursor.take<uint64_t>(at);
    if (!by_name_.emplace(tensor.name, 0).second) fail(where, "stands in the file twice");
    tensors_.push_back(std::move(tensor));
  }
}

void GgufFile::parse() {
  const auto bytes = file_.bytes();
  Cursor cursor(path(), bytes);
  refuse_lfs_pointer(file_.text(), path());
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    fail(path(), ": not a GGUF file: it does not begin with \"GGUF\"");
  }
  cursor.skip(4, "header");
  const auto version = cursor.take<uint32_t>("version");
  if (version != kGgufVersion) {
    fail(path(), ": GGUF version: expected ", kGgufVersion, ", found ", version,
         (version & 0xFFFF) == 0 ? ": the file is big-endian" : "");
  }
  const auto tensor_count = cursor.take<uint64_t>("tensor count");
  const auto key_count = cursor.take<uint64_t>("key count");
  if (tensor_count > kMostTensors)
    fail(path(), ": tensor count: expected at most ", kMostTensors, ", found ", tensor_count);
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string_view key = cursor.text(cat("key ", i));
    if (key.size() > kLongestName) fail(path(), ": key ", i, ": a name of ", key.size(), " bytes");
    const std::string name(key);
    if (values_.contains(name)) fail(path(), ": key \"", name, "\" stands in the file twice");
    values_[name] = parse_value(cursor, name);
  }
  parse_tensors(cursor, tensor_count);

  const int64_t alignment = has("general.alignment") ? integer("general.alignment") : int64_t{kGgufAlignment};
  if (alignment < 1 || alignment > (1 << 20) || !std::has_single_bit(static_cast<uint64_t>(alignment))) {
    fail(path(), ": general.alignment: expected a power of two up to 2^20, found ", alignment);
  }
  const auto multiple = static_cast<size_t>(alignment);
  data_offset_ = (cursor.position() + multiple - 1) / multiple * multiple;
  const size_t data_bytes = bytes.size() > data_offset_ ? bytes.size() - data_offset_ : 0;
  std::stable_sort(tensors_.begin(), tensors_.end(),
                   [](const GgufTensorInfo& a, const GgufTensorInfo& b) { return a.begin < b.begin; });
  for (size_t i = 0; i < tensors_.size(); ++i) {
    GgufTensorInfo& tensor = tensors_[i];
    by_name_[tensor.name] = i;
    const std::string where = cat(path(), ": tensor \"", tensor.name, "\": ");
    if (tensor.begin % multiple != 0) {
      fail(where, "starts at byte ", tensor.begin, ", expected a multiple of ", alignment);
    }
    const size_t room = i + 1 < tensors_.size() ? tensors_[i + 1].begin : data_bytes;
    if (tensor.begin > data_bytes) {
      fail(where, "starts at byte ", tensor.begin, " of ", data_bytes,
           " bytes of data: the file is truncated");
    }
    std::optional<size_t> size;
    try {
      size = gguf_bytes(tensor.type, tensor.elements(), tensor.shape.back());
    } catch (const Error& e) {
      fail(where, e.what());
    }
    tensor.end = size ? tensor.begin + *size : room;
    if (tensor.end < tensor.begin || tensor.end > data_bytes) {
      fail(where, "ends at byte ", tensor.end, " of ", data_bytes, " bytes of data: the file is truncated");
    }
    if (tensor.end > room) fail(where, "overlaps tensor \"", tensors_[i + 1].name, "\"");
  }
}

const GgufTensorInfo* GgufFile::find(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

std::span<const uint8_t> GgufFile::bytes(const GgufTensorInfo& tensor) const {
  return file_.bytes().subspan(data_offset_ + tensor.begin, tensor.end - tensor.begin);
}

const GgufFile::Value& GgufFile::value(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) fail(path(), ": key \"", key, "\" is missing");
  return found->second;
}

void GgufFile::wrong_type(const std::string& key, const char* expected) const {
  static constexpr std::array kNames = {"u8",   "i8",   "u16",   "i16", "u32", "i32", "f32",
                                        "bool", "text", "array", "u64", "i64", "f64"};
  const Value& found = value(key);
  fail(path(), ": key \"", key, "\": expected ", expected, ", found ", found.is_array ? "an array of " : "",
       kNames[static_cast<size_t>(found.type)]);
}

int64_t GgufFile::integer_at(ValueType type, size_t position) const {
  const auto bytes = file_.bytes();
  switch (type) {
    case ValueType::u8:
      return load<uint8_t>(bytes, position);
    case ValueType::i8:
      return load<int8_t>(bytes, position);
    case ValueType::u16:
      return load<uint16_t>(bytes, position);
    case ValueType::i16:
      return load<int16_t>(bytes, position);
    case ValueType::u32:
      return load<uint32_t>(bytes, position);
    case ValueType::i32:
      return load<int32_t>(bytes, position);
    default:
      return load<int64_t>(bytes, position);
  }
}

int64_t GgufFile::integer(const std::string& key) const {
  const Value& found = value(key);
  if (found.is_array || !is_integer(found.type)) wrong_type(key, "an integer");
  const int64_t number = integer_at(found.type, found.position);
  if (found.type == ValueType::u64 && number < 0) wrong_type(key, "an integer below 2^63");
  return number;
}

double GgufFile::number(const std::string& key) const {
  const Value& found = value(key);
  if (!found.is_array && found.type == ValueType::f32) {
    return static_cast<double>(load<float>(file_.bytes(), found.position));
  }
  if (!found.is_array && found.type == ValueType::f64) return load<double>(file_.bytes(), found.position);
  if (found.is_array || !is_integer(found.type)) wrong_type(key, "a number");
  return static_cast<double>(integer(key));
}

bool GgufFile::boolean(const std::string& key) const {
  const Value& found = value(key);
  if (found.is_array || found.type != ValueType::boolean) wrong_type(key, "true or false");
  return file_.bytes()[found.position] != 0;
}

std::string_view GgufFile::text(const std::string& key) const {
  const Value& found = value(key);
  if (found.is_array || found.type != ValueType::string) wrong_type(key, "a text");
  const auto length = load<uint64_t>(file_.bytes(), found.position);
  return {reinterpret_cast<const char*>(file_.bytes().data()) + found.position + 8, length};
}

const GgufFile::Value& GgufFile::array(const std::string& key, bool fits, const char* expected) const {
  const Value& found = value(key);
  if (!found.is_array || !fits) wrong_type(key, expected);
  return found;
}

std::vector<std::string_view> GgufFile::texts(const std::string& key) const {
  const Value& found = array(key, value(key).type == ValueType::string, "an array of texts");
  std::vector<std::string_view> items;
  size_t position = found.position;
  for (uint64_t i = 0; i < found.count; ++i) {
    const auto length = load<uint64_t>(file_.bytes(), position);
    items.emplace_back(reinterpret_cast<const char*>(file_.bytes().data()) + position + 8, length);
    position += 8 + length;
  }
  return items;
}

std::vector<int64_t> GgufFile::integers(const std::string& key) const {
  const Value& found = array(key, is_integer(value(key).type), "an array of integers");
  std::vector<int64_t> items;
  for (uint64_t i = 0; i < found.count; ++i) {
    items.push_back(integer_at(found.type, found.position + i * width(found.type)));
  }
  return items;
}

std::vector<float> GgufFile::floats(const std::string& key) const {
  const Value& found = array(key, value(key).type == ValueType::f32, "an array of f32");
  std::vector<float> items(found.count);
  if (!items.empty()) std::memcpy(items.data(), file_.bytes().data() + found.position, 4 * items.size());
  return items;
}

std::optional<std::string> GgufFile::describe(const std::string& key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  const Value& value = found->second;
  if (value.is_array) return cat("[", value.count, value.type == ValueType::string ? " texts]" : " numbers]");
  if (value.type == ValueType::string) return std::string(text(key));
  if (value.type == ValueType::boolean) return boolean(key) ? "true" : "false";
  return is_integer(value.type) ? cat(integer(key)) : cat(number(key));
}

std::vector<std::string> GgufFile::keys() const {
  std::vector<std::string> names;
  for (const auto& [key, value] : values_) names.push_back(key);
  return names;
}

}  // namespace rotor
