// What all tasks that train a Transformer have in common: the model, and its checkpoints.
#pragma once

#include <string>

#include "train/trainer/run_model.h"
#include "train/trainer/task.h"

namespace rotor::train {

class TransformerTask : public Task {
 public:
  torch::nn::Module& module() override { return *model_; }
  const ModelConfig& model_config() const override { return model_->config(); }
  std::string base_fingerprint() const override { return run_model_.base_fingerprint(); }
  int64_t steps_per_epoch() const override { return 0; }

  /// Sets how far the model is ternary by train.quantizer_warmup_steps.
  void begin_step(int64_t step) override;
  /// Parameters or adapters, tokenizer and chat template.
  void save(const std::string& directory) override { run_model_.save(model_, directory); }
  void load(const std::string& directory) override { run_model_.load(model_, directory); }

 protected:
  /// Opens or begins the model (run_model.h). The task calls build() once its data are known.
  TransformerTask(TrainConfig& config, torch::Device device, const TaskStart& start)
      : device_(device), run_model_(config, start), config_(config), start_(start) {}
  /// Throws Error if there is not enough memory for it and a teacher (memory_plan.h).
  void build(const TrainConfig& config, const ModelConfig* teacher = nullptr);

  torch::Device device_;
  RunModel run_model_;
  TrainConfig config_;
  Transformer model_ = nullptr;

 private:
  TaskStart start_;
};

}  // namespace rotor::train
