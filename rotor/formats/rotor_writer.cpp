// Lays out a .rotor file (padding tensors keep every tensor at a multiple of 256 bytes) and writes it with
// its checksums.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/screening.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/dtype.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {
namespace {

/// rotor_tensors() and the attached ones, with padding tensors between them.
std::vector<TensorDeclaration> padded_layout(const ModelConfig& config, DenseFormat dense,
                                             const RotorAttachments& attachments) {
  std::vector<TensorDeclaration> tensors = rotor_tensors(config, dense);
  tensors.insert(tensors.end(), attachments.tensors.begin(), attachments.tensors.end());
  std::vector<TensorDeclaration> layout;
  size_t position = 0;
  size_t paddings = 0;
  for (TensorDeclaration& tensor : tensors) {
    if (const size_t over = position % kRotorTensorAlignment; over != 0) {
      const size_t gap = kRotorTensorAlignment - over;
      layout.push_back({cat(kPaddingPrefix, paddings++), DType::u8, {static_cast<int64_t>(gap)}});
      position += gap;
    }
    position += tensor.bytes();
    layout.push_back(std::move(tensor));
  }
  return layout;
}

/// The attachments, once they are known to belong together and to overwrite nothing of the model.
RotorAttachments checked(const std::string& path, RotorAttachments attachments) {
  for (const auto& [key, value] : attachments.metadata) {
    if (!is_text_metadata(key)) fail(path, ": metadata \"", key, "\" cannot be attached");
  }
  check_attachments(path, attachments.metadata, {attachments.tensors.begin(), attachments.tensors.end()});
  return attachments;
}

/// Name of the head of `config` that gets a copy to screen it; empty for none.
std::string screened_head(const ModelConfig& config, DenseFormat dense) {
  const bool has_head = config.is_transformer() && !config.transformer.ternary_head;
  return has_head && dense.screening && dense.type == DenseType::q8 ? head_name(config.transformer) : "";
}

TensorDeclaration planes_of(const std::string& name, const std::vector<int64_t>& shape) {
  const auto rows = static_cast<int64_t>(row_tiles(static_cast<size_t>(shape[0])));
  const auto cols = static_cast<int64_t>(column_tiles(static_cast<size_t>(shape[1])));
  return {name, DType::u8, {rows, cols, 2, static_cast<int64_t>(kPlaneBytes)}};
}

Metadata initial_metadata(const ModelConfig& config, const std::vector<TensorDeclaration>& layout,
                          const std::string& screened, const RotorAttachments& attachments) {
  Metadata metadata = {{rotor_key::kFormatVersion, cat(text_format_version(attachments.metadata))},
                       {rotor_key::kConfig, model_config_to_json(config)},
                       {rotor_key::kActivationQuantization, name(config.activation_quantization())},
                       {rotor_key::kScaleMeaning, "multiply"},
                       {rotor_key::kProducer, "rotor " ROTOR_VERSION},
                       {rotor_key::kHeaderChecksum, kBlankChecksum}};
  for (const TensorDeclaration& tensor : layout)
    metadata[rotor_key::kChecksumPrefix + tensor.name] = kBlankChecksum;
  for (const TensorSpec& spec : tensor_table(config)) {
    if (is_ternary(config, spec)) metadata[rotor_key::kShapePrefix + spec.name] = shape_text(spec.shape);
    if (spec.name == screened) {
      metadata[rotor_key::kShapePrefix + screen_name(screened)] = shape_text(spec.shape);
    }
  }
  metadata.insert(attachments.metadata.begin(), attachments.metadata.end());
  return metadata;
}

DType stored_dtype(DenseType dense) {
  return dense == DenseType::f32 ? DType::f32 : dense == DenseType::f16 ? DType::f16 : DType::i8;
}

}  // namespace

DenseType DenseFormat::of(const ModelConfig& config, const TensorSpec& spec) const {
  if (spec.role == TensorRole::embedding) return type;
  return config.is_encoder() && spec.role == TensorRole::linear ? layers : DenseType::f32;
}

bool screening_pays(const ModelConfig& config) {
  constexpr int64_t kLargeHead = int64_t{4} << 20;  // bytes in int8
  const TransformerConfig& t = config.transformer;
  return config.is_transformer() && !t.ternary_head && t.vocab_size * t.hidden_size >= kLargeHead;
}

std::string screen_name(const std::string& head_name) {
  return head_name + "_screen";
}

std::vector<TensorDeclaration> rotor_tensors(const ModelConfig& config, DenseFormat dense) {
  std::vector<TensorDeclaration> tensors;
  const std::string screened = screened_head(config, dense);
  if (dense.screening && screened.empty()) {
    fail("head screening needs a dense head that is kept as q8, found ",
         !config.is_transformer() ? "a model without a head: leave --head-screening on out"
         : config.transformer.ternary_head
             ? "a ternary one: leave --head-screening on out"
             : cat(name(dense.type), ": leave out --head-screening on, or --head ", name(dense.type)));
  }
  for (const TensorSpec& spec : tensor_table(config)) {
    if (!is_ternary(config, spec)) {
      const DenseType type = dense.of(config, spec);
      tensors.push_back({spec.name, stored_dtype(type), spec.shape});
      if (type == DenseType::q8) tensors.push_back({scale_name(spec.name), DType::f32, {spec.shape[0]}});
      if (spec.name == screened) {
        const std::string screen = screen_name(spec.name);
        tensors.push_back(planes_of(screen, spec.shape));
        tensors.push_back({screen + "_scale", DType::f32, {spec.shape[0]}});
        tensors.push_back({screen + "_error", DType::f32, {spec.shape[0]}});
        tensors.push_back({screen + "_mean", DType::f32, {spec.shape[1]}});
        tensors.push_back({screen + "_spread", DType::f32, {spec.shape[1]}});
      }
      continue;
    }
    tensors.push_back(planes_of(spec.name, spec.shape));
    tensors.push_back({scale_name(spec.name), DType::f32, {1}});
  }
  return tensors;
}

RotorWriter::RotorWriter(const std::string& path, const ModelConfig& config, DenseFormat dense,
                         RotorAttachments attachments)
    : path_(path),
      config_(config),
      dense_(dense),
      screened_(screened_head(config, dense)),
      attachments_(checked(path, std::move(attachments))),
      table_(tensor_table(config)),
      layout_(padded_layout(config, dense, attachments_)),
      writer_(path, initial_metadata(config, layout_, screened_, attachments_), layout_, kRotorDataMultiple) {
  config.validate();
}

void RotorWriter::begin_tensor(const std::string& name) {
  for (; next_ < layout_.size() && layout_[next_].name.starts_with(kPaddingPrefix); ++next_) {
    const std::vector<uint8_t> zeros(layout_[next_].bytes());
    writer_.set_metadata(rotor_key::kChecksumPrefix + layout_[next_].name, checksum(zeros));
    writer_.write(zeros);
  }
  if (next_ == layout_.size() || layout_[next_].name != name) {
    fail(path_, ": expected tensor ", next_ == layout_.size() ? "none" : layout_[next_].name, ", got ", name);
  }
  written_ = 0;
  checksum_.reset();
}

void RotorWriter::append(std::span<const uint8_t> bytes) {
  checksum_.add(bytes);
  written_ += bytes.size();
  writer_.write(bytes);
}

void RotorWriter::end_tensor() {
  const TensorDeclaration& tensor = layout_[next_];
  if (written_ != tensor.bytes()) {
    fail(path_, ": tensor \"", tensor.name, "\": expected ", tensor.bytes(), " bytes, got ", written_);
  }
  writer_.set_metadata(rotor_key::kChecksumPrefix + tensor.name, checksum_.text());
  ++next_;
}

void RotorWriter::write_tensor(const std::string& name, std::span<const uint8_t> bytes) {
  begin_tensor(name);
  if (bytes.size() != layout_[next_].bytes()) {
    fail(path_, ": tensor \"", name, "\": expected ", layout_[next_].bytes(), " bytes, got ", bytes.size());
  }
  append(bytes);
  end_tensor();
}

const TensorSpec& RotorWriter::spec(const std::string& name) const {
  const auto found =
      std::find_if(table_.begin(), table_.end(), [&](const TensorSpec& entry) { return entry.name == name; });
  if (found == table_.end()) fail(path_, ": no tensor \"", name, "\" in this model");
  return *found;
}

void RotorWriter::check_planes(const std::string& name, std::span<const uint8_t> tiles, int64_t first,
                               int64_t rows, int64_t cols) const {
  const auto fault = find_plane_fault(tiles, static_cast<size_t>(rows), static_cast<size_t>(cols));
  if (!fault) return;
  fail(path_, ": tensor \"", name, "\": row ", static_cast<size_t>(first) + fault->row, ", column ",
       fault->column, ": ",
       fault->kind == PlaneFault::Kind::both_bits ? "the pair (1,1)" : "a set bit in the padding");
}

void RotorWriter::check_scale(const std::string& name, float scale) const {
  if (!(scale > 0.0F) || !std::isfinite(scale)) {
    fail(path_, ": tensor \"", scale_name(name), "\": expected a finite number above 0, found ", scale);
  }
}

void RotorWriter::write_ternary(const std::string& name, std::span<const uint8_t> tiles, float scale) {
  const TensorSpec& entry = spec(name);
  if (entry.role != TensorRole::linear) fail(path_, ": no linear tensor \"", name, "\"");
  const auto rows = static_cast<size_t>(entry.shape[0]);
  const auto cols = static_cast<size_t>(entry.shape[1]);
  if (tiles.size() != tile_bytes(rows, cols)) {
    fail(path_, ": tensor \"", name, "\": expected ", tile_bytes(rows, cols), " bytes of planes, got ",
         tiles.size());
  }
  check_planes(name, tiles, 0, entry.shape[0], entry.shape[1]);
  check_scale(name, scale);
  write_tensor(name, tiles);
  write_tensor(scale_name(name), float_bytes({&scale, 1}));
}

void RotorWriter::write_ternary(const std::string& name, const ReadTiles& read, float scale) {
  const TensorSpec& entry = spec(name);
  if (entry.role != TensorRole::linear) fail(path_, ": no linear tensor \"", name, "\"");
  check_scale(name, scale);
  const auto cols = static_cast<size_t>(entry.shape[1]);
  begin_tensor(name);
  write_rows(entry.shape, [&](int64_t first, int64_t rows, std::vector<uint8_t>& tiles) {
    tiles.resize(tile_bytes(static_cast<size_t>(rows), cols));
    read(first, rows, tiles);
    check_planes(name, tiles, first, rows, static_cast<int64_t>(cols));
  });
  end_tensor();
  write_tensor(scale_name(name), float_bytes({&scale, 1}));
}

void RotorWriter::write_floats(const std::string& name, std::span<const float> values) {
  const TensorSpec& entry = spec(name);
  int64_t expected = 1;
  for (const int64_t size : entry.shape) expected *= size;
  if (std::cmp_not_equal(values.size(), expected)) {
    fail(path_, ": tensor \"", name, "\": expected ", expected, " values, got ", values.size());
  }
  const size_t cols = values.size() / static_cast<size_t>(entry.shape[0]);
  write_floats(name, [&](int64_t first, int64_t rows, std::span<float> out) {
    std::ranges::copy(values.subspan(static_cast<size_t>(first) * cols, static_cast<size_t>(rows) * cols),
                      out.begin());
  });
}

void RotorWriter::write_floats(const std::string& name, const ReadFloats& read) {
  const TensorSpec& entry = spec(name);
  const size_t cols = entry.shape.size() == 2 ? static_cast<size_t>(entry.shape[1]) : 1;
  const ReadFloats read_finite = [&](int64_t first, int64_t rows, std::span<float> values) {
    read(first, rows, values);
    if (const size_t bad = find_not_finite(values); bad != values.size()) {
      fail(path_, ": tensor \"", name, "\": value ", static_cast<size_t>(first) * cols + bad,
           ": expected a finite number, found ", values[bad]);
    }
  };
  if (const DenseType type = dense_.of(config_, entry); type != DenseType::f32) {
    return write_dense(entry, type, read_finite);
  }
  begin_tensor(name);
  write_rows(entry.shape, [&](int64_t first, int64_t rows, std::vector<uint8_t>& bytes) {
    bytes.resize(static_cast<size_t>(rows) * cols * sizeof(float));
    read_finite(first, rows, {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)});
  });
  end_tensor();
}

void RotorWriter::commit() {
  for (const AttachedTensor& tensor : attachments_.tensors) write_tensor(tensor.name, tensor.data);
  const std::string header = writer_.header();
  writer_.set_metadata(rotor_key::kHeaderChecksum,
                       checksum({reinterpret_cast<const uint8_t*>(header.data()), header.size()}));
  writer_.commit();
}

}  // namespace rotor
