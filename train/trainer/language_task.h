// Predicting the next token with a Transformer: what the training loop asks of it.
#pragma once

#include <memory>
#include <optional>

#include "rotor/text/tokenizer.h"
#include "train/data/text_dataset.h"
#include "train/models/transformer.h"
#include "train/trainer/task.h"

namespace rotor::train {

class LanguageTask final : public Task {
 public:
  /// Loads or trains the tokenizer (train/data/run_tokenizer.h), tokenizes the corpus if that was not done
  /// yet, and sets vocabulary and special tokens of the model in `config`.
  LanguageTask(TrainConfig& config, torch::Device device);

  torch::nn::Module& module() override { return *model_; }
  const ModelConfig& model_config() const override { return model_->config(); }
  std::string description() const override;
  std::string unit() const override { return "tokens"; }
  std::string data_checksum() const override { return corpus_->train.data_checksum(); }
  int64_t steps_per_epoch() const override { return 0; }

  PartLoss loss(int64_t step, int64_t part) override;
  bool can_evaluate() const override { return corpus_->validation.num_tokens() > 0; }
  /// Windows as evaluate.h says.
  Evaluation evaluate() override;
  bool is_better(const Evaluation& a, const Evaluation& b) const override { return a.loss < b.loss; }
  std::string describe(const Evaluation& evaluation) const override;
  std::string sample(int64_t step) override;
  /// The tokenizer's file goes along.
  void save(const std::string& directory) override;
  void load(const std::string& directory) override;

 private:
  TrainConfig config_;
  torch::Device device_;
  std::string tokenizer_file_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<TextCorpus> corpus_;
  Transformer model_ = nullptr;
};

}  // namespace rotor::train
