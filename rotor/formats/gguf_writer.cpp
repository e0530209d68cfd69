// The header is written at once, since offsets follow from names, types and shapes; tensors stream behind it.
#include <array>
#include <cstring>
#include <limits>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/gguf.h"

namespace rotor {
namespace {

enum ValueType : uint32_t { kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kText = 8, kArray = 9, kI64 = 11 };

/// Bytes of a header that grows.
class Header {
 public:
  template <class T>
  void put(T value) {
    const size_t at = bytes_.size();
    bytes_.resize(at + sizeof(T));
    std::memcpy(bytes_.data() + at, &value, sizeof(T));
  }
  void put_text(std::string_view text) {
    put(static_cast<uint64_t>(text.size()));
    bytes_.append(text);
  }
  template <class T>
  void put_array(uint32_t type, const std::vector<T>& items) {
    put(uint32_t{kArray});
    put(type);
    put(static_cast<uint64_t>(items.size()));
    for (const T& item : items) put_item(item);
  }
  void put_value(const GgufValue& value) {
    if (const auto* flag = std::get_if<bool>(&value)) {
      put(uint32_t{kBool});
      put(static_cast<uint8_t>(*flag));
    } else if (const auto* integer = std::get_if<int64_t>(&value)) {
      if (*integer >= 0 && *integer <= std::numeric_limits<uint32_t>::max()) {
        put(uint32_t{kU32});
        put(static_cast<uint32_t>(*integer));
      } else {
        put(uint32_t{kI64});
        put(*integer);
      }
    } else if (const auto* number = std::get_if<double>(&value)) {
      put(uint32_t{kF32});
      put(static_cast<float>(*number));
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      put(uint32_t{kText});
      put_text(*text);
    } else if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
      put_array(kText, *texts);
    } else if (const auto* integers = std::get_if<std::vector<int32_t>>(&value)) {
      put_array(kI32, *integers);
    } else {
      put_array(kF32, std::get<std::vector<float>>(value));
    }
  }
  void pad() { bytes_.resize((bytes_.size() + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment, '\0'); }
  const std::string& bytes() const { return bytes_; }

 private:
  void put_item(const std::string& text) { put_text(text); }
  void put_item(int32_t value) { put(value); }
  void put_item(float value) { put(value); }

  std::string bytes_;
};

}  // namespace

GgufWriter::GgufWriter(const std::string& path, const std::vector<std::pair<std::string, GgufValue>>& values,
                       const std::vector<GgufTensorDeclaration>& tensors)
    : file_(path) {
  Header header;
  header.put(std::array{'G', 'G', 'U', 'F'});
  header.put(kGgufVersion);
  header.put(static_cast<uint64_t>(tensors.size()));
  header.put(static_cast<uint64_t>(values.size()));
  std::set<std::string> names;
  for (const auto& [key, value] : values) {
    if (!names.insert(key).second) fail(path, ": key \"", key, "\" is given twice");
    header.put_text(key);
    header.put_value(value);
  }
  names.clear();
  size_t offset = 0;
  for (const GgufTensorDeclaration& tensor : tensors) {
    if (!names.insert(tensor.name).second) fail(path, ": tensor \"", tensor.name, "\" is declared twice");
    int64_t elements = 1;
    for (const int64_t size : tensor.shape) elements *= size;
    std::optional<size_t> bytes;
    try {
      bytes = gguf_bytes(tensor.type, elements, tensor.shape.back());
    } catch (const Error& e) {
      fail(path, ": tensor \"", tensor.name, "\": ", e.what());
    }
    if (!bytes) fail(path, ": tensor \"", tensor.name, "\": cannot write ", gguf_type_name(tensor.type));
    header.put_text(tensor.name);
    header.put(static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = tensor.shape.size(); d > 0; --d) header.put(static_cast<uint64_t>(tensor.shape[d - 1]));
    header.put(static_cast<uint32_t>(tensor.type));
    header.put(static_cast<uint64_t>(offset));
    offset += (*bytes + kGgufAlignment - 1) / kGgufAlignment * kGgufAlignment;
    sizes_.emplace_back(tensor.name, *bytes);
  }
  header.pad();
  file_.write(header.bytes());
}

void GgufWriter::write(std::span<const uint8_t> bytes) {
  if (next_ == sizes_.size()) fail(file_.path(), ": more data than the declared tensors hold");
  const auto& [name, size] = sizes_[next_];
  written_ += bytes.size();
  if (written_ > size)
    fail(file_.path(), ": tensor \"", name, "\": expected ", size, " bytes, got ", written_);
  file_.write(bytes);
  if (written_ < size) return;
  const std::vector<uint8_t> padding((kGgufAlignment - size % kGgufAlignment) % kGgufAlignment);
  file_.write(padding);
  written_ = 0;
  ++next_;
}

void GgufWriter::commit() {
  if (next_ != sizes_.size()) {
    fail(file_.path(), ": tensor \"", sizes_[next_].first, "\": expected ", sizes_[next_].second,
         " bytes, got ", written_);
  }
  file_.commit();
}

}  // namespace rotor
