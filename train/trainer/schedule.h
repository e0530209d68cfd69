// Learning rate as a pure function of the step.
#pragma once

#include <cstdint>

#include "train/config/train_config.h"

namespace rotor::train {

/// The learning rate of step `step` (0-based) of `total_steps`: linear warm-up over warmup_steps (step 0 gets
/// 1/warmup of the peak), then constant, or linear or half-cosine decay that reaches final_learning_rate at
/// the end.
double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps);

}  // namespace rotor::train
