// Reads and writes the files of a checkpoint, and holds the weights against the architecture's tensor table.
#include "rotor/formats/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "rotor/core/error.h"
#include "rotor/core/hf_packing.h"
#include "rotor/formats/json.h"
#include "rotor/formats/lfs_pointer.h"
#include "rotor/formats/sentence_transformers.h"
#include "rotor/formats/tensor_names.h"

namespace rotor {
namespace {

constexpr int64_t kPieceValues = int64_t{1} << 20;  // of masters, when their mean is taken

std::string existing_directory(const std::string& directory) {
  if (!std::filesystem::is_directory(directory)) fail(directory, ": expected a checkpoint directory");
  return directory;
}

ModelConfig read_config(const std::string& directory, StoredQuantization& stored) {
  const std::string path = directory + "/" + kConfigFile;
  const MappedFile file(path);
  refuse_lfs_pointer(file.text(), path);
  return model_config_from_json(std::string(file.text()), path, &stored);
}

/// The files that an index names, each once, as paths.
std::vector<std::string> indexed_files(const std::string& directory) {
  const std::string path = directory + "/" + kIndexFile;
  const Json index = read_json_file(path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    fail(path, ": expected an object with a weight_map");
  }
  std::set<std::string> names;
  for (const auto& [tensor, file] : index["weight_map"].items()) {
    if (!file.is_string())
      fail(path, ": weight_map: \"", tensor, "\": expected a file name, found ", quote_json(file));
    const auto name = file.get<std::string>();
    if (name.empty() || name.find('/') != std::string::npos) {
      fail(path, ": weight_map: \"", tensor, "\": expected a file beside the index, found ",
           quote_json(file));
    }
    names.insert(directory + "/" + name);
  }
  if (names.empty()) fail(path, ": weight_map: expected at least one tensor");
  return {names.begin(), names.end()};
}

/// As browsers, curl scripts and hub clients name what is not complete.
bool is_half_download(const std::string& name) {
  constexpr const char* kEndings[] = {".part", ".incomplete", ".crdownload", ".aria2", ".tmp"};
  return std::ranges::any_of(kEndings, [&](const char* ending) { return name.ends_with(ending); });
}

/// A tensor of a bert by the name that the tensor table has for it: checkpoints of models with heads put
/// "bert." in front, and those that TensorFlow wrote first call the parts of norms gamma and beta.
std::string bert_name(std::string name) {
  if (name.starts_with("bert.")) name.erase(0, 5);
  for (const auto& [old, now] : {std::pair{".LayerNorm.gamma", ".LayerNorm.weight"},
                                 std::pair{".LayerNorm.beta", ".LayerNorm.bias"}}) {
    if (name.ends_with(old)) name.replace(name.rfind(old), std::string::npos, now);
  }
  return name;
}

/// What no vector of a text goes through.
bool is_left_out(const std::string& name) {
  return name.starts_with("pooler.") || name.starts_with("cls.") || name == "embeddings.position_ids";
}

/// Tensors that older checkpoints hold and that no reader needs: tables that follow from the config.
bool is_buffer(const std::string& name) {
  return name.ends_with("rotary_emb.inv_freq");
}

}  // namespace

Checkpoint::Checkpoint(const std::string& directory, const CheckpointOptions& options)
    : directory_(existing_directory(directory)), config_(read_config(directory, stored_)) {
  if (options.ternarize) {
    if (config_.quantization == Quantization::ternary) {
      fail(directory_, "/", kConfigFile, ": quantization_config: the model is ternary already");
    }
    if (config_.is_encoder()) fail(directory_, ": --ternarize is not for sentence encoders");
    config_.quantization = Quantization::ternary;
  }
  if (config_.is_encoder()) read_sentence_transformers(directory_, config_.bert);
  open_weights();
  check_names(options.ignore_unknown);
  for (const TensorSpec& spec : tensor_table(config_)) check_tensor(spec);
}

void Checkpoint::open_weights() {
  namespace fs = std::filesystem;
  const std::string single = directory_ + "/" + kWeightsFile;
  const bool sharded = !fs::exists(single) && fs::exists(directory_ + "/" + kIndexFile);
  if (!sharded && !fs::exists(single)) {
    for (const auto& entry : fs::directory_iterator(directory_)) {
      if (is_half_download(entry.path().filename())) {
        fail(entry.path().string(), ": half a download: finish it (scripts/download_bitnet.sh goes on ",
             "where it stopped)");
      }
    }
    fail(single, ": No such file: the directory holds ", kConfigFile, " and no weights (", kWeightsFile,
         ", or shards with ", kIndexFile, "): download them, with scripts/download_bitnet.sh for example");
  }
  const auto files = sharded ? indexed_files(directory_) : std::vector<std::string>{single};
  shards_.reserve(files.size());
  for (const std::string& file : files) {
    const SafetensorsFile& shard = shards_.emplace_back(file);
    for (const TensorInfo& tensor : shard.tensors()) add_name(tensor.name, shards_.size() - 1);
  }
}

void Checkpoint::add_name(const std::string& stored, size_t shard) {
  const std::string name = config_.is_encoder() ? bert_name(stored) : stored;
  if (config_.is_encoder() && is_left_out(name)) {
    left_out_.push_back(stored);
    return;
  }
  const auto [place, is_new] = stored_as_.emplace(name, Stored{shard, stored});
  if (!is_new) {
    fail(shards_[shard].path(), ": tensor \"", stored, "\" stands in ", shards_[place->second.shard].path(),
         " too", place->second.name == stored ? "" : cat(", as \"", place->second.name, "\""));
  }
}

void Checkpoint::check_names(bool ignore_unknown) const {
  std::set<std::string> expected;
  for (const TensorSpec& spec : tensor_table(config_)) {
    expected.insert(spec.name);
    if (packed() && is_ternary(config_, spec)) expected.insert(scale_name(spec.name));
  }
  std::set<std::string> found;
  for (const auto& [name, stored] : stored_as_) {
    if (!is_buffer(name)) found.insert(name);
  }
  check_tensor_names(shards_.size() == 1 ? shards_.front().path() : directory_, expected, found,
                     ignore_unknown);
}

Checkpoint::Place Checkpoint::find(const std::string& name) const {
  const auto stored = stored_as_.find(name);
  if (stored == stored_as_.end()) return {};
  const SafetensorsFile& file = shards_[stored->second.shard];
  return {&file, file.find(stored->second.name)};
}

Checkpoint::Place Checkpoint::at(const std::string& name) const {
  const Place place = find(name);
  if (place.tensor == nullptr) fail(directory_, ": tensor \"", name, "\" is missing");
  return place;
}

void Checkpoint::check_tensor(const TensorSpec& spec) const {
  const auto [file, found] = at(spec.name);
  std::vector<int64_t> expected = spec.shape;
  if (packed() && is_ternary(config_, spec)) {
    expected[0] = (spec.shape[0] + 3) / 4;
    const TensorInfo& scale = *at(scale_name(spec.name)).tensor;
    if (found->dtype != DType::u8 || scale.shape != std::vector<int64_t>{1}) {
      fail(file->path(), ": tensor \"", spec.name, "\": expected U8 and a scale of shape [1], found ",
           dtype_name(found->dtype), " and ", shape_text(scale.shape));
    }
  }
  if (found->shape != expected) {
    fail(file->path(), ": tensor \"", spec.name, "\": expected shape ", shape_text(expected), ", found ",
         shape_text(found->shape));
  }
}

std::string Checkpoint::format() const {
  const std::string kind = config_.quantization == Quantization::none ? "float"
                           : packed()                                 ? "packed codes"
                                                                      : "float masters";
  return cat("Hugging Face, ", kind, shards_.size() > 1 ? cat(", ", shards_.size(), " shards") : "");
}

std::string Checkpoint::scale_convention() const {
  if (config_.quantization == Quantization::none) return "none: float matrices";
  if (!packed()) return "absmean of float masters, at every use (quantization_mode online)";
  return stored_.scale_divides ? "weight = code / weight_scale (linear_class bitlinear)"
                               : "weight = code * weight_scale (linear_class autobitlinear)";
}

size_t Checkpoint::stored_bytes(const TensorSpec& spec) const {
  const TensorInfo& tensor = *at(spec.name).tensor;
  return tensor.end - tensor.begin;
}

TernaryScale Checkpoint::master_scale(const TensorSpec& spec) const {
  const std::lock_guard lock(scales_mutex_);
  const auto known = scales_.find(spec.name);
  if (known != scales_.end()) return known->second;
  const auto [file, tensor] = at(spec.name);
  const int64_t count = spec.shape[0] * spec.shape[1];
  std::vector<float> piece(static_cast<size_t>(std::min(count, kPieceValues)));
  MeanAbs mean;
  for (int64_t first = 0; first < count; first += kPieceValues) {
    const auto values = std::span(piece).first(static_cast<size_t>(std::min(kPieceValues, count - first)));
    file->read_as_float(*tensor, static_cast<size_t>(first), values);
    try {
      mean.add(values);
    } catch (const NotFiniteError& e) {
      fail(file->path(), ": tensor \"", spec.name, "\", from value ", first, " on: ", e.what());
    }
  }
  return scales_[spec.name] = absmean_scale(mean.mean());
}

float Checkpoint::scale(const TensorSpec& spec) const {
  if (!packed()) return master_scale(spec).scale;
  const auto [file, tensor] = at(scale_name(spec.name));
  const float stored = file->read_as_float(*tensor)[0];
  const float scale = stored_.scale_divides ? 1.0F / stored : stored;
  if (!(scale > 0.0F) || !std::isfinite(scale)) {
    fail(file->path(), ": tensor \"", scale_name(spec.name), "\": expected a finite number above 0, found ",
         stored);
  }
  return scale;
}

void Checkpoint::read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                            std::span<int8_t> trits) const {
  const auto [file, tensor] = at(spec.name);
  const int64_t cols = spec.shape[1];
  if (packed()) {
    return read_codes(spec, [&](std::span<const uint8_t> codes) {
      hf_unpack_rows(codes, static_cast<size_t>(spec.shape[0]), static_cast<size_t>(cols),
                     static_cast<size_t>(first), static_cast<size_t>(rows), trits);
    });
  }
  std::vector<float> weights(trits.size());
  file->read_as_float(*tensor, static_cast<size_t>(first * cols), weights);
  round_absmean(weights, master_scale(spec).inverse_scale, trits);
}

void Checkpoint::read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                            std::span<uint8_t> tiles) const {
  if (!packed()) return ModelSource::read_tiles(spec, first, rows, tiles);
  read_codes(spec, [&](std::span<const uint8_t> codes) {
    hf_tile_rows(codes, static_cast<size_t>(spec.shape[0]), static_cast<size_t>(spec.shape[1]),
                 static_cast<size_t>(first), static_cast<size_t>(rows), tiles);
  });
}

void Checkpoint::read_codes(const TensorSpec& spec,
                            const std::function<void(std::span<const uint8_t> codes)>& read) const {
  const auto [file, tensor] = at(spec.name);
  try {
    read(file->bytes(*tensor));
  } catch (const Error& e) {
    fail(file->path(), ": tensor \"", spec.name, "\": ", e.what());
  }
  file->check_intact();
}

void Checkpoint::scale_bias(const std::string& name, std::span<float> values) const {
  // AutoBitLinear of packed codes multiplies sum and bias by the scale: its files hold bias / scale.
  // BitLinear adds the bias last, and so does AutoBitLinear with masters (transformers,
  // integrations/bitnet.py).
  if (!packed() || stored_.scale_divides) return;
  const auto weight = ternary_of_bias(config_, name);
  if (!weight) return;
  const float factor = scale(*weight);
  for (float& value : values) value *= factor;
}

void Checkpoint::read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                             std::span<float> values) const {
  const auto [file, tensor] = at(spec.name);
  const int64_t cols = spec.shape.size() == 2 ? spec.shape[1] : 1;
  values = values.first(static_cast<size_t>(rows * cols));
  file->read_as_float(*tensor, static_cast<size_t>(first * cols), values);
  scale_bias(spec.name, values);
}

std::vector<float> Checkpoint::tensor(const std::string& name) const {
  const auto [file, tensor] = at(name);
  auto values = file->read_as_float(*tensor);
  scale_bias(name, values);
  return values;
}

Checkpoint::Ternary Checkpoint::ternary(const TensorSpec& spec) const {
  Ternary matrix{std::vector<int8_t>(static_cast<size_t>(spec.shape[0] * spec.shape[1])), scale(spec)};
  read_trits(spec, 0, spec.shape[0], matrix.codes);
  return matrix;
}

void write_checkpoint(const std::string& directory, const ModelConfig& config,
                      const std::function<std::span<const float>(const TensorSpec&)>& tensor) {
  config.validate();
  const auto table = tensor_table(config);
  std::vector<TensorDeclaration> declarations;
  for (const TensorSpec& spec : table) declarations.push_back({spec.name, DType::f32, spec.shape});
  SafetensorsWriter writer(directory + "/" + kWeightsFile, {{"format", "pt"}}, declarations);
  for (const TensorSpec& spec : table) {
    const auto values = tensor(spec);
    writer.write({reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()});
  }
  writer.commit();
  write_file(directory + "/" + kConfigFile, model_config_to_json(config, 2) + "\n");
}

}  // namespace rotor
