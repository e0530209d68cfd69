// Opens a .rotor file: everything that can be checked without reading weights.
#include <charconv>
#include <cmath>
#include <set>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {

RotorFile::RotorFile(const std::string& path, FileMemory memory) : container_(path, check_version, memory) {
  check_header_checksum();
  config_ = model_config_from_json(metadata(rotor_key::kConfig), cat(path, ": ", rotor_key::kConfig));
  for (const TensorSpec& spec : tensor_table(config_)) {
    if (is_ternary(config_, spec)) ternary_shapes_[spec.name] = spec.shape;
  }
  if (config_.model_type != "mlp") dense_ = read_dense_format();
  if (dense_.screening) {
    const TransformerConfig& t = config_.transformer;
    ternary_shapes_[screen_name(head_name(t))] = {t.vocab_size, t.hidden_size};
  }
  check_tensors();
}

DenseFormat RotorFile::read_dense_format() const {
  if (config_.is_encoder()) {
    DenseFormat format = stored_type("embeddings.word_embeddings.weight");
    format.layers = stored_type("encoder.layer.0.attention.self.query.weight");
    return format;
  }
  const TransformerConfig& t = config_.transformer;
  const DenseType type = stored_type("model.embed_tokens.weight");
  if (type != DenseType::q8) return type;
  return {type, !t.ternary_head && container_.find(screen_name(head_name(t))) != nullptr};
}

DenseType RotorFile::stored_type(const std::string& name) const {
  const TensorInfo& tensor = container_.at(name);
  switch (tensor.dtype) {
    case DType::f32:
      return DenseType::f32;
    case DType::f16:
      return DenseType::f16;
    case DType::i8:
      return DenseType::q8;
    default:
      fail(path(), ": tensor \"", tensor.name, "\": expected F32, F16 or I8, found ",
           dtype_name(tensor.dtype));
  }
}

const std::string& RotorFile::metadata(const std::string& key) const {
  const auto it = container_.metadata().find(key);
  if (it == container_.metadata().end()) fail(path(), ": metadata \"", key, "\" is missing");
  return it->second;
}

void RotorFile::check_version(const SafetensorsFile& file) {
  const auto field = file.metadata().find(rotor_key::kFormatVersion);
  if (field == file.metadata().end()) {
    fail(file.path(), ": not a .rotor file: metadata \"", rotor_key::kFormatVersion, "\" is missing");
  }
  const std::string& text = field->second;
  int version = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), version);
  if (error != std::errc() || end != text.data() + text.size() || version < 1) {
    fail(file.path(), ": ", rotor_key::kFormatVersion, ": expected a whole number of at least 1, found \"",
         text, "\"");
  }
  if (version > kRotorFormatVersion) {
    fail(file.path(), ": format version ", version, " is newer than this program reads (",
         kRotorFormatVersion, "): update rotor");
  }
  if (const int least = text_format_version(file.metadata()); version < least) {
    fail(file.path(), ": ", rotor_key::kFormatVersion, ": expected at least ", least, " with metadata \"",
         rotor_key::kNormalizer, "\", found ", version);
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
  std::set<std::string> known;
  for (const TensorDeclaration& tensor : rotor_tensors(config_, dense_)) {
    check_tensor(tensor);
    known.insert(tensor.name);
  }
  const auto attached = tokenizer_tensors(container_);
  check_attachments(path(), container_.metadata(), attached);
  for (const TensorDeclaration& tensor : attached) {
    check_tensor(tensor);
    known.insert(tensor.name);
  }
  for (const TensorInfo& tensor : container_.tensors()) {
    metadata(rotor_key::kChecksumPrefix + tensor.name);
    if (known.contains(tensor.name)) continue;
    if (!tensor.name.starts_with(kPaddingPrefix) || tensor.dtype != DType::u8) {
      fail(path(), ": tensor \"", tensor.name, "\" is not part of this model");
    }
  }
  for (const auto& [name, shape] : ternary_shapes_) {
    const std::string key = rotor_key::kShapePrefix + name;
    if (metadata(key) != shape_text(shape)) {
      fail(path(), ": ", key, ": expected ", shape_text(shape), ", found ", metadata(key));
    }
  }
}

TernaryMatrix RotorFile::ternary(const std::string& name) const {
  const auto shape = ternary_shapes_.find(name);
  if (shape == ternary_shapes_.end())
    fail(path(), ": tensor \"", name, "\" is no ternary matrix of this model");
  TernaryMatrix matrix{shape->second[0], shape->second[1], floats(scale_name(name))[0],
                       container_.bytes(container_.at(name))};
  if (!(matrix.scale > 0.0F) || !std::isfinite(matrix.scale)) {
    fail(path(), ": tensor \"", scale_name(name), "\": expected a finite number above 0, found ",
         matrix.scale);
  }
  return matrix;
}

DenseMatrix RotorFile::dense(const std::string& name) const {
  const TensorInfo& tensor = container_.at(name);
  if (tensor.shape.size() != 2) fail(path(), ": tensor \"", name, "\" is no matrix");
  DenseMatrix matrix{
      tensor.shape[0], tensor.shape[1], stored_type(name), container_.bytes(tensor).data(), {}};
  if (matrix.type == DenseType::q8) matrix.row_scales = floats(scale_name(name));
  return matrix;
}

HeadScreen RotorFile::head_screen() const {
  if (!dense_.screening) return {};
  const std::string name = screen_name(head_name(config_.transformer));
  const auto& shape = ternary_shapes_.at(name);
  return {{shape[0], shape[1], 1.0F, container_.bytes(container_.at(name))},
          floats(name + "_scale"),
          floats(name + "_error"),
          floats(name + "_mean"),
          floats(name + "_spread")};
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
