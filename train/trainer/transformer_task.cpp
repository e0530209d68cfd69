// The quantizer's warm-up: linear in steps.
#include "train/trainer/transformer_task.h"

namespace rotor::train {

void TransformerTask::build(const TrainConfig& config) {
  config_ = config;
  model_ = run_model_.build(config_, device_);
}

void TransformerTask::begin_step(int64_t step) {
  const int64_t steps = config_.quantizer_warmup_steps;
  model_->set_ternary_share(step >= steps ? 1.0 : static_cast<double>(step) / static_cast<double>(steps));
}

}  // namespace rotor::train
