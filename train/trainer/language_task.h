// Predicting the next token with a Transformer, of texts or of answers in conversations: what the training
// loop asks of it.
#pragma once

#include <memory>

#include "train/data/language_data.h"
#include "train/trainer/run_model.h"
#include "train/trainer/task.h"

namespace rotor::train {

class LanguageTask final : public Task {
 public:
  /// Opens or begins the model (run_model.h), reads the conversations, or tokenizes the corpus if that was
  /// not done yet.
  LanguageTask(TrainConfig& config, torch::Device device);

  torch::nn::Module& module() override { return *model_; }
  const ModelConfig& model_config() const override { return model_->config(); }
  std::string description() const override;
  std::string unit() const override { return "tokens"; }
  std::string data_checksum() const override { return data_->checksum(); }
  int64_t steps_per_epoch() const override { return 0; }
  int64_t steps_in_epochs(int64_t epochs) const override;

  void begin_step(int64_t step) override;
  PartLoss loss(int64_t step, int64_t part) override;
  bool can_evaluate() const override { return data_->num_validation_rows() > 0; }
  Evaluation evaluate() override;
  bool is_better(const Evaluation& a, const Evaluation& b) const override { return a.loss < b.loss; }
  std::string describe(const Evaluation& evaluation) const override;
  std::string sample(int64_t step) override;
  /// The tokenizer's files go along.
  void save(const std::string& directory) override;
  void load(const std::string& directory) override;

 private:
  std::unique_ptr<LanguageData> open_data();

  TrainConfig config_;
  torch::Device device_;
  RunModel run_model_;
  std::unique_ptr<LanguageData> data_;
  Transformer model_ = nullptr;
};

}  // namespace rotor::train
