// Warm-up, then decay over the remaining steps.
#include "train/trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rotor::train {

namespace {

bool in_second_stage(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  return config.schedule == ScheduleKind::two_stage && 2 * step >= total_steps;
}

double peak_at(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  if (!in_second_stage(config, step, total_steps)) return config.learning_rate;
  return config.second_learning_rate > 0 ? config.second_learning_rate : config.learning_rate * 2.0 / 3.0;
}

}  // namespace

double weight_decay_at(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  return in_second_stage(config, step, total_steps) ? 0.0 : config.weight_decay;
}

double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  const double peak = peak_at(config, step, total_steps);
  if (step < config.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps);
  }
  const auto decay_steps = static_cast<double>(std::max<int64_t>(total_steps - config.warmup_steps, 1));
  const double done = std::min(static_cast<double>(step - config.warmup_steps) / decay_steps, 1.0);
  double remaining = 1.0;
  if (config.schedule == ScheduleKind::linear || config.schedule == ScheduleKind::two_stage)
    remaining = 1.0 - done;
  if (config.schedule == ScheduleKind::cosine) remaining = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return config.final_learning_rate + (peak - config.final_learning_rate) * remaining;
}

double ternary_share_at(int64_t step, int64_t warmup_steps) {
  return step >= warmup_steps ? 1.0 : static_cast<double>(step) / static_cast<double>(warmup_steps);
}

}  // namespace rotor::train
