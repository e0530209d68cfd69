// Streams tensors behind a header whose length is known from the start, and writes that header last.
#include <cassert>
#include <cstring>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/safetensors.h"

namespace rotor {

SafetensorsWriter::SafetensorsWriter(const std::string& path, Metadata metadata,
                                     std::vector<TensorDeclaration> tensors, size_t data_multiple)
    : file_(path),
      metadata_(std::move(metadata)),
      tensors_(std::move(tensors)),
      data_multiple_(data_multiple) {
  for (const TensorDeclaration& tensor : tensors_) expected_bytes_ += tensor.bytes();
  data_offset_ = header().size();
}

std::string SafetensorsWriter::header() const {
  Json json = Json::object();
  if (!metadata_.empty()) json["__metadata__"] = metadata_;
  size_t position = 0;
  for (const TensorDeclaration& tensor : tensors_) {
    if (json.contains(tensor.name)) fail(file_.path(), ": tensor \"", tensor.name, "\" is declared twice");
    const size_t begin = std::exchange(position, position + tensor.bytes());
    json[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {begin, position}}};
  }
  std::string text = dump_json(json);
  const size_t bytes = (8 + text.size() + data_multiple_ - 1) / data_multiple_ * data_multiple_;
  text.resize(bytes - 8, ' ');
  const auto length = static_cast<uint64_t>(text.size());
  std::string result(8, '\0');
  std::memcpy(result.data(), &length, 8);
  return result + text;
}

void SafetensorsWriter::write(std::span<const uint8_t> bytes) {
  if (written_bytes_ + bytes.size() > expected_bytes_) {
    fail(file_.path(), ": more data than the declared tensors hold (", expected_bytes_, " bytes)");
  }
  file_.write_at(data_offset_ + written_bytes_, bytes);
  written_bytes_ += bytes.size();
}

void SafetensorsWriter::set_metadata(const std::string& key, const std::string& value) {
  assert(metadata_.at(key).size() == value.size());
  metadata_.at(key) = value;
}

void SafetensorsWriter::commit() {
  if (written_bytes_ != expected_bytes_) {
    fail(file_.path(), ": expected ", expected_bytes_, " bytes of tensors, got ", written_bytes_);
  }
  const std::string text = header();
  assert(text.size() == data_offset_);
  file_.write_at(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  file_.commit();
}

}  // namespace rotor
