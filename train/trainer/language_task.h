// Predicting the next token with a Transformer, of texts or of answers in conversations: what the training
// loop asks of it.
#pragma once

#include <memory>

#include "train/data/language_data.h"
#include "train/trainer/distillation.h"
#include "train/trainer/transformer_task.h"

namespace rotor::train {

class LanguageTask final : public TransformerTask {
 public:
  /// Reads the conversations, or tokenizes the corpus if that was not done yet.
  LanguageTask(TrainConfig& config, torch::Device device, const TaskStart& start);

  std::string description() const override;
  std::string unit() const override { return "tokens"; }
  int64_t units_per_row() const override { return config_.text.block_size; }
  bool has_perplexity() const override { return true; }
  std::string data_checksum() const override { return data_->checksum(); }
  int64_t steps_in_epochs(int64_t epochs) const override;

  PartLoss loss(int64_t step, int64_t part) override;
  bool can_evaluate() const override { return data_->num_validation_rows() > 0; }
  Evaluation evaluate() override;
  bool is_better(const Evaluation& a, const Evaluation& b) const override { return a.loss < b.loss; }
  std::string describe(const Evaluation& evaluation) const override;
  std::string sample(int64_t step) override;

 private:
  std::unique_ptr<LanguageData> open_data();

  std::unique_ptr<LanguageData> data_;
  std::optional<Distillation> distillation_;
};

}  // namespace rotor::train
