// What training a Transformer takes of memory, worked out before anything is allocated, so that a run that
// cannot fit says so at once and not after an hour.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "train/config/train_config.h"

namespace rotor::train {

struct MemoryPlan {
  /// What takes memory, and bytes: "weights", "gradients", ...
  std::vector<std::pair<std::string, double>> parts;
  int64_t trained = 0;  ///< numbers that are trained

  double total() const;
  /// "9.7 GB: weights 3.2 GB, gradients 3.2 GB, ..."
  std::string text() const;
};

/// Of a config whose model is known, on one of `ranks` processes. `teacher`: of config.distill, or nullptr.
/// Weights, gradients and optimizer state are exact; activations are what a layer keeps for the backward
/// pass, by its sizes, and the largest temporary ones.
MemoryPlan plan_memory(const TrainConfig& config, const ModelConfig* teacher = nullptr, int64_t ranks = 1);

/// Bytes that this process can still get: of the machine (MemAvailable), or of its control group if that has
/// less. Infinity where neither is known.
double available_memory();

/// Throws Error with the plan and what would need less if it does not fit into train.memory_gb or, by
/// default, into what is available.
void require_memory(const MemoryPlan& plan, const TrainConfig& config);

}  // namespace rotor::train
