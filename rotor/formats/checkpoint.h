// A checkpoint directory in Hugging Face form: config.json, and model.safetensors or the shards that
// model.safetensors.index.json names. What training writes and export reads; trainer state lies beside it in
// files of its own, which this does not know.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/core/quantize.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/model_source.h"
#include "rotor/formats/safetensors.h"

namespace rotor {

inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kIndexFile = "model.safetensors.index.json";

struct CheckpointOptions {
  bool ignore_unknown = false;  ///< tensors that have no place in the model may be there
  /// Float matrices are taken as masters and quantized by absmean, as if the model had been trained so: its
  /// quality is lost until it is fine-tuned.
  bool ternarize = false;
};

class Checkpoint final : public ModelSource {
 public:
  /// An encoder's config has what sentence_transformers.h finds, too. Throws Error if a file is missing or
  /// bad, or if the tensors are not exactly those of the architecture, naming those that are missing and
  /// those that have no place.
  explicit Checkpoint(const std::string& directory, const CheckpointOptions& options = {});

  const std::string& path() const override { return directory_; }
  std::string format() const override;
  const ModelConfig& config() const override { return config_; }
  std::string scale_convention() const override;
  size_t stored_bytes(const TensorSpec& spec) const override;
  float scale(const TensorSpec& spec) const override;
  void read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<int8_t> trits) const override;
  void read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<uint8_t> tiles) const override;
  bool has_masters() const override { return !packed(); }
  void read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                   std::span<float> values) const override;

  using ModelSource::tensor;
  const std::string& directory() const { return directory_; }
  /// Tensors of the files that an encoder of sentences has no use for: pooler, heads, tables that follow from
  /// the config. Names as in the files.
  const std::vector<std::string>& left_out() const { return left_out_; }
  /// The weights' files.
  const std::vector<SafetensorsFile>& shards() const { return shards_; }
  /// Whether ternary matrices are stored as codes and a scale, with no float masters to train on.
  bool packed() const { return stored_.packed; }
  /// One tensor as float32, row-major. Throws Error for a packed matrix.
  std::vector<float> tensor(const std::string& name) const;
  /// A ternary matrix: masters are quantized by absmean, packed codes are unpacked (core/hf_packing.h).
  struct Ternary {
    std::vector<int8_t> codes;  ///< [rows, cols]
    float scale;                ///< weight = code * scale
  };
  Ternary ternary(const TensorSpec& spec) const;

 private:
  /// A tensor and the file that holds it.
  struct Place {
    const SafetensorsFile* file = nullptr;
    const TensorInfo* tensor = nullptr;
  };

  void open_weights();
  void add_name(const std::string& stored, size_t shard);
  void check_names(bool ignore_unknown) const;
  void check_tensor(const TensorSpec& spec) const;
  Place find(const std::string& name) const;
  /// Throws Error if there is none of that name.
  Place at(const std::string& name) const;
  TernaryScale master_scale(const TensorSpec& spec) const;
  /// Calls `read` with the packed codes of a matrix; its errors are said of file and tensor.
  void read_codes(const TensorSpec& spec,
                  const std::function<void(std::span<const uint8_t> codes)>& read) const;
  /// Brings the values of a float tensor to what Rotor means by them.
  void scale_bias(const std::string& name, std::span<float> values) const;

  std::string directory_;
  StoredQuantization stored_;
  ModelConfig config_;
  std::vector<SafetensorsFile> shards_;
  struct Stored {
    size_t shard;
    std::string name;  // in the file: a bert's may begin with "bert."
  };
  std::map<std::string, Stored> stored_as_;  // tensor name -> file
  std::vector<std::string> left_out_;
  mutable std::mutex scales_mutex_;
  mutable std::map<std::string, TernaryScale> scales_;  // of masters, once they are known
};

/// Throws Error if `config` is not valid. Writes config.json and model.safetensors (float32) into
/// `directory`, which exists. `tensor` gives the values of each entry of tensor_table(config), row-major.
void write_checkpoint(const std::string& directory, const ModelConfig& config,
                      const std::function<std::span<const float>(const TensorSpec&)>& tensor);

}  // namespace rotor
