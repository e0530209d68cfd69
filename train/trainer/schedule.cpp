// Warm-up, then decay over the remaining steps.
#include "train/trainer/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rotor::train {

double learning_rate_at(const OptimizerConfig& config, int64_t step, int64_t total_steps) {
  const double peak = config.learning_rate;
  if (step < config.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps);
  }
  const auto decay_steps = static_cast<double>(std::max<int64_t>(total_steps - config.warmup_steps, 1));
  const double done = std::min(static_cast<double>(step - config.warmup_steps) / decay_steps, 1.0);
  double remaining = 1.0;
  if (config.schedule == ScheduleKind::linear) remaining = 1.0 - done;
  if (config.schedule == ScheduleKind::cosine) remaining = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return config.final_learning_rate + (peak - config.final_learning_rate) * remaining;
}

}  // namespace rotor::train
