// Learning rate and the like as pure functions of the step.
#pragma once

#include <cstdint>

#include "train/config/train_config.h"

namespace rotor::train {

/// The learning rate of step `step` (0-based) of `total_steps`: linear warm-up over warmup_steps (step 0 gets
/// 1/warmup of the peak), then constant, or linear or half-cosine decay that reaches final_learning_rate at
/// the end. two_stage (The Era of 1-bit LLMs: Training Tips, Code and FAQ, section 2): linear decay towards
/// the end from learning_rate in the first half of the steps, from second_learning_rate in the second.
double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps);

/// The weight decay of that step: weight_decay, but 0 in the second half of two_stage.
double weight_decay_at(const OptimizerConfig& config, int64_t step, int64_t total_steps);

/// How far layers are ternary in that step, from 0 to 1: linearly over the quantizer's warm-up.
double ternary_share_at(int64_t step, int64_t warmup_steps);

}  // namespace rotor::train
