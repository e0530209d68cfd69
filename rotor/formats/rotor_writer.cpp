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
  Metadata metadata = {{rotor_key::kFormatVersion, cat(kRotorFormatVersion)},
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

std::span<const uint8_t> as_bytes(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

DType stored_dtype(DenseType dense) {
  return dense == DenseType::f32 ? DType::f32 : dense == DenseType::f16 ? DType::f16 : DType::i8;
}

}  // namespace

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
  for (const TensorSpec& spec : tensor_table(config)) {
    if (spec.role == TensorRole::embedding) {
      tensors.push_back({spec.name, stored_dtype(dense.type), spec.shape});
      if (dense.type == DenseType::q8)
        tensors.push_back({scale_name(spec.name), DType::f32, {spec.shape[0]}});
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
    if (!is_ternary(config, spec)) {
      tensors.push_back({spec.name, DType::f32, spec.shape});
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
      dense_(dense),
      screened_(screened_head(config, dense)),
      attachments_(checked(path, std::move(attachments))),
      table_(tensor_table(config)),
      layout_(padded_layout(config, dense, attachments_)),
      writer_(path, initial_metadata(config, layout_, screened_, attachments_), layout_, kRotorDataMultiple) {
  config.validate();
  if (dense.screening && screened_.empty()) {
    fail(path, ": head screening: expected a dense head kept as q8, found ",
         config.is_transformer() && config.transformer.ternary_head ? "a ternary one"
         : config.is_transformer()                                  ? name(dense.type)
                                                                    : "a model without a head");
  }
}

void RotorWriter::write_tensor(const std::string& name, std::span<const uint8_t> bytes) {
  for (; next_ < layout_.size() && layout_[next_].name.starts_with(kPaddingPrefix); ++next_) {
    const std::vector<uint8_t> zeros(layout_[next_].bytes());
    writer_.set_metadata(rotor_key::kChecksumPrefix + layout_[next_].name, checksum(zeros));
    writer_.write(zeros);
  }
  if (next_ == layout_.size() || layout_[next_].name != name || layout_[next_].bytes() != bytes.size()) {
    fail(path_, ": expected tensor ", next_ == layout_.size() ? "none" : layout_[next_].name, ", got ", name,
         " of ", bytes.size(), " bytes");
  }
  writer_.set_metadata(rotor_key::kChecksumPrefix + name, checksum(bytes));
  writer_.write(bytes);
  ++next_;
}

const TensorSpec& RotorWriter::spec(const std::string& name) const {
  const auto found =
      std::find_if(table_.begin(), table_.end(), [&](const TensorSpec& entry) { return entry.name == name; });
  if (found == table_.end()) fail(path_, ": no tensor \"", name, "\" in this model");
  return *found;
}

void RotorWriter::write_dense(const TensorSpec& entry, std::span<const float> values) {
  if (dense_.type == DenseType::f32) return write_tensor(entry.name, as_bytes(values));
  if (dense_.type == DenseType::f16) {
    const auto large =
        std::find_if(values.begin(), values.end(), [](float v) { return std::fabs(v) > 65504.0F; });
    if (large != values.end()) {
      fail(path_, ": tensor \"", entry.name, "\": value ", large - values.begin(), " is ", *large,
           ", more than float16 holds: keep the head as f32");
    }
    std::vector<uint16_t> halves(values.size());
    std::transform(values.begin(), values.end(), halves.begin(), float_to_f16);
    return write_tensor(entry.name, {reinterpret_cast<const uint8_t*>(halves.data()), halves.size() * 2});
  }
  const auto rows = static_cast<size_t>(entry.shape[0]);
  const size_t cols = values.size() / rows;
  std::vector<int8_t> codes(values.size());
  std::vector<float> scales(rows);
  for (size_t r = 0; r < rows; ++r) {
    scales[r] = quantize_q8(values.subspan(r * cols, cols), std::span(codes).subspan(r * cols, cols));
  }
  write_tensor(entry.name, {reinterpret_cast<const uint8_t*>(codes.data()), codes.size()});
  write_tensor(scale_name(entry.name), as_bytes(scales));
  if (entry.name == screened_) write_screen(entry, codes, scales);
}

/// Of the rows as they will be read, codes * scale.
void RotorWriter::write_screen(const TensorSpec& entry, std::span<const int8_t> codes,
                               std::span<const float> scales) {
  const size_t rows = scales.size();
  const size_t cols = codes.size() / rows;
  const ScreeningColumns columns = screening_columns(codes, scales);
  std::vector<uint8_t> tiles(tile_bytes(rows, cols));
  std::vector<float> screen_scales(rows);
  std::vector<float> errors(rows);
  std::vector<int8_t> trits(kTileRows * cols);
  const size_t band_bytes = column_tiles(cols) * kTileBytes;
  for (size_t first = 0; first < rows; first += kTileRows) {
    const size_t count = std::min(kTileRows, rows - first);
    for (size_t r = first; r < first + count; ++r) {
      const ScreeningRow row = screen_row(codes.subspan(r * cols, cols), scales[r], columns,
                                          std::span(trits).subspan((r - first) * cols, cols));
      screen_scales[r] = row.scale;
      errors[r] = row.error;
    }
    pack_tiles(std::span(trits).first(count * cols), count, cols,
               std::span(tiles).subspan(first / kTileRows * band_bytes, band_bytes));
  }
  const std::string screen = screen_name(entry.name);
  write_tensor(screen, tiles);
  write_tensor(screen + "_scale", as_bytes(screen_scales));
  write_tensor(screen + "_error", as_bytes(errors));
  write_tensor(screen + "_mean", as_bytes(columns.mean));
  write_tensor(screen + "_spread", as_bytes(columns.spread));
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
  if (const auto fault = find_plane_fault(tiles, rows, cols)) {
    fail(path_, ": tensor \"", name, "\": row ", fault->row, ", column ", fault->column, ": ",
         fault->kind == PlaneFault::Kind::both_bits ? "the pair (1,1)" : "a set bit in the padding");
  }
  if (!(scale > 0.0F) || !std::isfinite(scale)) {
    fail(path_, ": tensor \"", scale_name(name), "\": expected a finite number above 0, found ", scale);
  }
  write_tensor(name, tiles);
  write_tensor(scale_name(name), as_bytes({&scale, 1}));
}

void RotorWriter::write_floats(const std::string& name, std::span<const float> values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    fail(path_, ": tensor \"", name, "\": value ", bad - values.begin(), ": expected a finite number, found ",
         *bad);
  }
  const TensorSpec& entry = spec(name);
  if (entry.role != TensorRole::embedding) return write_tensor(name, as_bytes(values));
  int64_t expected = 1;
  for (const int64_t size : entry.shape) expected *= size;
  if (std::cmp_not_equal(values.size(), expected)) {
    fail(path_, ": tensor \"", name, "\": expected ", expected, " values, got ", values.size());
  }
  write_dense(entry, values);
}

void RotorWriter::commit() {
  for (const AttachedTensor& tensor : attachments_.tensors) write_tensor(tensor.name, tensor.data);
  const std::string header = writer_.header();
  writer_.set_metadata(rotor_key::kHeaderChecksum,
                       checksum({reinterpret_cast<const uint8_t*>(header.data()), header.size()}));
  writer_.commit();
}

}  // namespace rotor
