// Opens a .rotor file: everything that can be checked without reading weights.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {

RotorFile::RotorFile(const std::string& path) : container_(path) {
  check_version();
  check_header_checksum();
  config_ = model_config_from_json(metadata(rotor_key::kConfig), cat(path, ": ", rotor_key::kConfig));
  check_tensors();
}

const std::string& RotorFile::metadata(const std::string& key) const {
  const auto it = container_.metadata().find(key);
  if (it == container_.metadata().end()) fail(path(), ": metadata \"", key, "\" is missing");
  return it->second;
}

void RotorFile::check_version() const {
  if (!container_.metadata().contains(rotor_key::kFormatVersion)) {
    fail(path(), ": not a .rotor file: metadata \"", rotor_key::kFormatVersion, "\" is missing");
  }
  const std::string& text = metadata(rotor_key::kFormatVersion);
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 1) {
    fail(path(), ": ", rotor_key::kFormatVersion, ": expected a whole number of at least 1, found \"", text,
         "\"");
  }
  if (version > kRotorFormatVersion) {
    fail(path(), ": format version ", version, " is newer than this program reads (", kRotorFormatVersion,
         "): update rotor");
  }
}

void RotorFile::check_header_checksum() const {
  const std::string& stored = metadata(rotor_key::kHeaderChecksum);
  const auto bytes = container_.header();
  std::string header(bytes.begin(), bytes.end());
  // The field is blanked where it stands; docs/file-format.md fixes its spelling, so the bytes need no
  // re-serialising.
  const std::string field = cat('"', rotor_key::kHeaderChecksum, "\":\"");
  const size_t at = header.find(field);
  if (stored.size() == std::string_view(kBlankChecksum).size() && at != std::string::npos) {
    header.replace(at + field.size(), stored.size(), kBlankChecksum);
  }
  const std::string found = checksum({reinterpret_cast<const uint8_t*>(header.data()), header.size()});
  if (found != stored)
    fail(path(), ": header checksum: expected ", stored, ", found ", found, ": the file is damaged");
}

void RotorFile::check_tensor(const TensorDeclaration& expected) const {
  const TensorInfo& found = container_.at(expected.name);
  if (found.dtype != expected.dtype || found.shape != expected.shape) {
    fail(path(), ": tensor \"", expected.name, "\": expected ", dtype_name(expected.dtype), " ",
         shape_text(expected.shape), ", found ", dtype_name(found.dtype), " ", shape_text(found.shape));
  }
  if ((container_.data_offset() + found.begin) % kRotorTensorAlignment != 0) {
    fail(path(), ": tensor \"", expected.name, "\" starts at byte ", container_.data_offset() + found.begin,
         ", expected a multiple of ", kRotorTensorAlignment);
  }
}

void RotorFile::check_tensors() const {
  if (container_.data_offset() % kRotorDataMultiple != 0) {
    fail(path(), ": data start at byte ", container_.data_offset(), ", expected a multiple of ",
         kRotorDataMultiple);
  }
  const std::string activation = name(config_.activation_quantization());
  if (metadata(rotor_key::kActivationQuantization) != activation) {
    fail(path(), ": ", rotor_key::kActivationQuantization, ": expected \"", activation,
         "\" for this config, found \"", metadata(rotor_key::kActivationQuantization), "\"");
  }
  if (metadata(rotor_key::kScaleMeaning) != "multiply") {
    fail(path(), ": ", rotor_key::kScaleMeaning, ": expected \"multiply\", found \"",
         metadata(rotor_key::kScaleMeaning), "\"");
  }
  const auto expected = rotor_tensors(config_);
  for (const TensorDeclaration& tensor : expected) check_tensor(tensor);
  for (const TensorInfo& tensor : container_.tensors()) {
    metadata(rotor_key::kChecksumPrefix + tensor.name);
    if (tensor.name.starts_with(kPaddingPrefix)) continue;
    const bool known = std::any_of(expected.begin(), expected.end(),
                                   [&](const TensorDeclaration& entry) { return entry.name == tensor.name; });
    if (!known) fail(path(), ": tensor \"", tensor.name, "\" is not part of this model");
  }
  for (const TensorSpec& spec : tensor_table(config_)) {
    if (config_.quantization != Quantization::ternary || spec.role != TensorRole::linear) continue;
    const std::string key = rotor_key::kShapePrefix + spec.name;
    if (metadata(key) != shape_text(spec.shape)) {
      fail(path(), ": ", key, ": expected ", shape_text(spec.shape), ", found ", metadata(key));
    }
  }
}

TernaryMatrix RotorFile::ternary(const std::string& name) const {
  const std::string& shape = metadata(rotor_key::kShapePrefix + name);
  TernaryMatrix matrix;
  for (const TensorSpec& spec : tensor_table(config_)) {
    if (spec.name == name && shape_text(spec.shape) == shape) {
      matrix.rows = spec.shape[0];
      matrix.cols = spec.shape[1];
    }
  }
  matrix.tiles = container_.bytes(container_.at(name));
  matrix.scale = floats(scale_name(name))[0];
  if (!(matrix.scale > 0.0F) || !std::isfinite(matrix.scale)) {
    fail(path(), ": tensor \"", scale_name(name), "\": expected a finite number above 0, found ",
         matrix.scale);
  }
  return matrix;
}

std::span<const float> RotorFile::floats(const std::string& name) const {
  const TensorInfo& tensor = container_.at(name);
  if (tensor.dtype != DType::f32) {
    fail(path(), ": tensor \"", name, "\": expected F32, found ", dtype_name(tensor.dtype));
  }
  const auto bytes = container_.bytes(tensor);
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

}  // namespace rotor
