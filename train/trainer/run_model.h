// What a language model of a run begins as: an architecture with fresh weights and a tokenizer, or a model
// that exists, with all its files say of text. Tasks build their module from it and save its texts.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/text/chat_template.h"
#include "rotor/text/open_source.h"
#include "rotor/text/special_tokens.h"
#include "train/config/train_config.h"
#include "train/models/transformer.h"
#include "train/trainer/task.h"

namespace rotor::train {

class RunModel {
 public:
  /// Opens config.from, or, unless that is the base of adapters, the checkpoint that the task starts from,
  /// and sets config.model to its architecture with the config's quantization; or else loads or trains the
  /// tokenizer (train/data/run_tokenizer.h) and fits the vocabulary to it. Texts of a model that was opened
  /// go to `<output_dir>/tokenizer`. Throws Error for a bad model, one without tokenizer, or one
  /// whose context is shorter than data.block_size.
  RunModel(TrainConfig& config, const TaskStart& start);

  const text::Tokenizer& tokenizer() const { return *text_.tokenizer; }
  /// File or directory that the tokenizer was loaded from.
  const std::string& tokenizer_path() const { return tokenizer_path_; }
  /// The model's, or that of data.chat_template. Throws Error if it is broken.
  std::optional<text::ChatTemplate> chat_template() const;
  /// The tokens that begin and end a text.
  text::SpecialTokenIds special_tokens() const;
  /// Where an answer ends.
  std::vector<text::TokenId> stop_tokens() const;
  bool is_fresh() const { return is_fresh_; }
  /// The fingerprint of the base of adapters; "" without them.
  std::string base_fingerprint() const { return lora_ ? lora_->base_fingerprint : ""; }

  /// The module of config.model, with the opened model's weights unless a checkpoint is to be loaded.
  /// Call it once: the opened files are closed.
  Transformer build(const TrainConfig& config, torch::Device device);

  /// A checkpoint: parameters or adapters, tokenizer and chat template, into an existing directory; and back.
  void save(const Transformer& model, const std::string& directory) const;
  void load(Transformer& model, const std::string& directory) const;

 private:
  /// A folder that is removed in the end.
  struct TemporaryFolder {
    TemporaryFolder() = default;
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::string path;
  };

  void open(TrainConfig& config, const TaskStart& start);
  void make(TrainConfig& config);
  void save_text(const std::string& directory) const;

  std::unique_ptr<ModelSource> source_;  // null: fresh weights, or build() was called
  bool is_fresh_ = true;
  bool wants_weights_ = true;
  std::optional<LoraConfig> lora_;
  std::string name_;
  TemporaryFolder temporary_;  // instead of one in output_dir
  text::ModelText text_;
  std::string tokenizer_path_;
  std::optional<std::string> template_override_;
};

/// Compute type and the like, as the config says.
TransformerOptions transformer_options(const TrainConfig& config);

}  // namespace rotor::train
