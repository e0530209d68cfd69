// Reads and checks the header of a safetensors file. Everything that the file claims is checked against its
// size.
#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/safetensors.h"

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and are used where they lie");

namespace rotor {
namespace {

constexpr size_t kLengthBytes = 8;
constexpr const char* kMetadataKey = "__metadata__";
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference reader's limit

/// A JSON value as a non-negative 64-bit integer, or nothing.
std::optional<int64_t> as_size(const Json& value) {
  if (!value.is_number_unsigned()) return std::nullopt;
  const auto number = value.get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(number);
}

TensorInfo parse_tensor(const std::string& file, const std::string& name, const Json& entry) {
  const auto where = cat(file, ": tensor \"", name, "\": ");
  if (!entry.is_object()) fail(where, "expected an object, found ", quote_json(entry));
  for (const auto& [key, value] : entry.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") fail(where, "unknown key \"", key, "\"");
  }
  if (entry.size() != 3) fail(where, "expected dtype, shape and data_offsets, found ", quote_json(entry));

  TensorInfo tensor;
  tensor.name = name;
  const Json& dtype = entry["dtype"];
  const auto known = dtype.is_string() ? dtype_from_name(dtype.get<std::string>()) : std::nullopt;
  if (!known) fail(where, "expected a known dtype, found ", quote_json(dtype));
  tensor.dtype = *known;

  const Json& shape = entry["shape"];
  if (!shape.is_array()) fail(where, "shape: expected an array, found ", quote_json(shape));
  for (const Json& dimension : shape) {
    const auto size = as_size(dimension);
    if (!size) fail(where, "shape: expected integers of at least 0, found ", quote_json(shape));
    tensor.shape.push_back(*size);
  }

  const Json& offsets = entry["data_offsets"];
  const bool pair = offsets.is_array() && offsets.size() == 2;
  const auto begin = pair ? as_size(offsets[0]) : std::nullopt;
  const auto end = pair ? as_size(offsets[1]) : std::nullopt;
  if (!begin || !end || *begin > *end)
    fail(where, "data_offsets: expected [begin, end], found ", quote_json(offsets));
  tensor.begin = static_cast<size_t>(*begin);
  tensor.end = static_cast<size_t>(*end);

  size_t bytes = 0;
  try {
    bytes = tensor.bytes();
  } catch (const Error& e) {
    fail(file, ": ", e.what());
  }
  if (bytes != tensor.end - tensor.begin) {
    fail(where, "shape ", shape_text(tensor.shape), " of ", dtype_name(tensor.dtype), " needs ", bytes,
         " bytes, data_offsets span ", tensor.end - tensor.begin);
  }
  return tensor;
}

}  // namespace

size_t TensorDeclaration::bytes() const {
  size_t total = dtype_bytes(dtype);
  for (const int64_t size : shape) {
    if (__builtin_mul_overflow(total, static_cast<size_t>(size), &total)) {
      fail("tensor \"", name, "\": shape ", shape_text(shape), " overflows");
    }
  }
  return total;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += cat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

SafetensorsFile::SafetensorsFile(const std::string& path, const CheckMetadata& check_metadata,
                                 FileMemory memory)
    : file_(path, memory) {
  parse_header(check_metadata);
}

void SafetensorsFile::parse_metadata(const Json& entry) {
  if (!entry.is_object()) fail(path(), ": __metadata__: expected an object, found ", entry.type_name());
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string()) {
      fail(path(), ": __metadata__: \"", key, "\": expected a string, found ", value.type_name());
    }
    metadata_[key] = value.get<std::string>();
  }
}

void SafetensorsFile::parse_header(const CheckMetadata& check_metadata) {
  const auto file = file_.bytes();
  refuse_lfs_pointer(file_.text(), path());
  if (file.size() < kLengthBytes) {
    fail(path(), ": truncated: expected a header length of 8 bytes, found a file of ", file.size(), " bytes");
  }
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), kLengthBytes);
  if (header_bytes > file.size() - kLengthBytes) {
    fail(path(), ": header length ", header_bytes, " is past the end of the file (", file.size(),
         " bytes): truncated, or not a safetensors file");
  }
  if (header_bytes > kMaxHeaderBytes) {
    fail(path(), ": header of ", header_bytes, " bytes: expected at most ", kMaxHeaderBytes);
  }
  data_offset_ = kLengthBytes + static_cast<size_t>(header_bytes);
  const Json header = parse_json(
      {reinterpret_cast<const char*>(file.data()) + kLengthBytes, static_cast<size_t>(header_bytes)}, path());
  if (!header.is_object()) fail(path(), ": header: expected a JSON object, found ", header.type_name());

  if (header.contains(kMetadataKey)) parse_metadata(header[kMetadataKey]);
  if (check_metadata) check_metadata(*this);
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadataKey) tensors_.push_back(parse_tensor(path(), name, entry));
  }

  std::sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  const size_t data_bytes = file.size() - data_offset_;
  size_t position = 0;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.end > data_bytes) {
      fail(path(), ": tensor \"", tensor.name, "\" ends at byte ", tensor.end,
           " of the data, the file holds ", data_bytes, ": truncated?");
    }
    if (tensor.begin != position) {
      fail(path(), ": tensor \"", tensor.name, "\" starts at byte ", tensor.begin, " of the data, expected ",
           position,
           tensor.begin < position ? " (it overlaps the one before)" : " (there is a hole before it)");
    }
    position = tensor.end;
  }
  if (position != data_bytes) {
    fail(path(), ": the tensors end at byte ", position, " of the data, the file holds ", data_bytes);
  }
  for (size_t i = 0; i < tensors_.size(); ++i) by_name_[tensors_[i].name] = i;
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto it = by_name_.find(name);
  return it == by_name_.end() ? nullptr : &tensors_[it->second];
}

const TensorInfo& SafetensorsFile::at(const std::string& name) const {
  const TensorInfo* tensor = find(name);
  if (tensor == nullptr) fail(path(), ": tensor \"", name, "\" is missing");
  return *tensor;
}

std::span<const uint8_t> SafetensorsFile::bytes(const TensorInfo& tensor) const {
  return file_.bytes().subspan(data_offset_ + tensor.begin, tensor.end - tensor.begin);
}

template <class T>
std::vector<T> SafetensorsFile::read(const std::string& name) const {
  constexpr DType kDType = std::is_same_v<T, float>     ? DType::f32
                           : std::is_same_v<T, double>  ? DType::f64
                           : std::is_same_v<T, int8_t>  ? DType::i8
                           : std::is_same_v<T, uint8_t> ? DType::u8
                           : std::is_same_v<T, int32_t> ? DType::i32
                                                        : DType::i64;
  const TensorInfo& tensor = at(name);
  if (tensor.dtype != kDType) {
    fail(path(), ": tensor \"", name, "\": expected ", dtype_name(kDType), ", found ",
         dtype_name(tensor.dtype));
  }
  const auto source = bytes(tensor);
  std::vector<T> values(source.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), source.data(), source.size());
  check_intact();
  return values;
}
template std::vector<float> SafetensorsFile::read<float>(const std::string&) const;
template std::vector<double> SafetensorsFile::read<double>(const std::string&) const;
template std::vector<int8_t> SafetensorsFile::read<int8_t>(const std::string&) const;
template std::vector<uint8_t> SafetensorsFile::read<uint8_t>(const std::string&) const;
template std::vector<int32_t> SafetensorsFile::read<int32_t>(const std::string&) const;
template std::vector<int64_t> SafetensorsFile::read<int64_t>(const std::string&) const;

std::vector<float> SafetensorsFile::read_as_float(const TensorInfo& tensor) const {
  std::vector<float> values(bytes(tensor).size() / dtype_bytes(tensor.dtype));
  read_as_float(tensor, 0, values);
  return values;
}

void SafetensorsFile::read_as_float(const TensorInfo& tensor, size_t first, std::span<float> values) const {
  if (tensor.dtype != DType::f32 && tensor.dtype != DType::f16 && tensor.dtype != DType::bf16) {
    fail(path(), ": tensor \"", tensor.name, "\": expected F32, F16 or BF16, found ",
         dtype_name(tensor.dtype));
  }
  const size_t width = dtype_bytes(tensor.dtype);
  floats_from(tensor.dtype, bytes(tensor).subspan(first * width, values.size() * width), values);
  check_intact();
}

}  // namespace rotor
