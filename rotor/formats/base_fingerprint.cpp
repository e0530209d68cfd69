// Matrices are summed up side by side, each by pieces of rows.
#include "rotor/formats/base_fingerprint.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/core/parallel.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/dtype.h"

namespace rotor {
namespace {

std::vector<TensorSpec> linear_layers(const ModelConfig& config) {
  std::vector<TensorSpec> layers = tensor_table(config);
  std::erase_if(layers, [](const TensorSpec& spec) {
    return spec.role != TensorRole::linear && spec.role != TensorRole::dense;
  });
  return layers;
}

std::string scale_text(float scale) {
  constexpr const char* kDigits = "0123456789abcdef";
  const uint16_t bits = float_to_bf16(scale);
  std::string text = " ";
  for (int shift = 12; shift >= 0; shift -= 4) text.push_back(kDigits[bits >> shift & 15]);
  return text;
}

/// `scale`: of a ternary matrix.
std::string line(const TensorSpec& spec, const std::string& checksum, std::optional<float> scale) {
  return cat(spec.name, " ", shape_text(spec.shape), " ", checksum, scale ? scale_text(*scale) : "", "\n");
}

std::string checksum_of_lines(const std::vector<std::string>& lines) {
  Checksum sum;
  for (const std::string& text : lines) sum.add({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  return sum.text();
}

/// Of the bytes that `read` makes of pieces of whole row tiles.
using ReadBytes = std::function<void(int64_t first, int64_t rows, std::vector<uint8_t>& bytes)>;
std::string checksum_of(const TensorSpec& spec, const ReadBytes& read) {
  const int64_t step = rows_a_piece(spec.shape[1], static_cast<int64_t>(kTileRows));
  std::vector<uint8_t> bytes;
  Checksum sum;
  for (int64_t first = 0; first < spec.shape[0]; first += step) {
    read(first, std::min(step, spec.shape[0] - first), bytes);
    sum.add(bytes);
  }
  return sum.text();
}

std::string line_of(const ModelSource& source, const TensorSpec& spec) {
  const auto cols = static_cast<size_t>(spec.shape[1]);
  if (is_ternary(source.config(), spec)) {
    const auto read = [&](int64_t first, int64_t rows, std::vector<uint8_t>& bytes) {
      bytes.resize(row_tiles(static_cast<size_t>(rows)) * column_tiles(cols) * kTileBytes);
      source.read_tiles(spec, first, rows, bytes);
    };
    return line(spec, checksum_of(spec, read), source.scale(spec));
  }
  const auto read = [&](int64_t first, int64_t rows, std::vector<uint8_t>& bytes) {
    std::vector<float> values(static_cast<size_t>(rows) * cols);
    source.read_floats(spec, first, rows, values);
    bytes.resize(values.size() * sizeof(float));
    floats_to(DType::f32, values, bytes);
  };
  return line(spec, checksum_of(spec, read), std::nullopt);
}

}  // namespace

std::string base_fingerprint(const ModelSource& source) {
  const auto layers = linear_layers(source.config());
  std::vector<std::string> lines(layers.size());
  parallel_for(layers.size(), [&](size_t i) { lines[i] = line_of(source, layers[i]); });
  return checksum_of_lines(lines);
}

std::string base_fingerprint(const RotorFile& file) {
  std::vector<std::string> lines;
  for (const TensorSpec& spec : linear_layers(file.config())) {
    const auto stored = file.container().metadata().find(rotor_key::kChecksumPrefix + spec.name);
    if (stored == file.container().metadata().end()) {
      fail(file.path(), ": metadata: \"", rotor_key::kChecksumPrefix, spec.name, "\" is missing");
    }
    std::optional<float> scale;
    if (is_ternary(file.config(), spec)) scale = file.ternary(spec.name).scale;
    lines.push_back(line(spec, stored->second, scale));
  }
  return checksum_of_lines(lines);
}

std::string embedding_fingerprint(const RotorFile& file) {
  const std::string padding = std::string(rotor_key::kChecksumPrefix) + kPaddingPrefix;
  std::vector<std::string> lines;
  for (const auto& [key, value] : file.container().metadata()) {  // in order of keys
    const bool of_tensor = key.starts_with(rotor_key::kChecksumPrefix) && !key.starts_with(padding);
    const bool of_tokens = key.starts_with(rotor_key::kTokenizer) || key == rotor_key::kBosToken;
    if (of_tensor || of_tokens || key == rotor_key::kConfig) {
      lines.push_back(cat(key, " ", value, "\n"));
    }
  }
  return checksum_of_lines(lines);
}

}  // namespace rotor
