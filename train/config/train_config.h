// A training run, as its YAML file describes it. Every field has a default that works or is required; the
// resolved config that a run writes is a config file again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rotor/core/model_config.h"

namespace rotor::train {

struct DataConfig {
  std::string type = "idx";
  std::string path;            ///< folder of the IDX files
  std::optional<double> mean;  ///< of the pixels as p/255; measured on the training images if absent
  std::optional<double> std;   ///< likewise
};

enum class OptimizerKind { adam, adamw, sgd };
enum class ScheduleKind { constant, linear, cosine };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double learning_rate = 1e-3;
  std::vector<double> betas = {0.9, 0.999};  ///< of adam and adamw
  double momentum = 0.9;                     ///< of sgd
  double weight_decay = 0.0;                 ///< on the matrices of linear layers; never on norms and biases
  ScheduleKind schedule = ScheduleKind::cosine;
  int64_t warmup_steps = 0;          ///< linear, from 0
  double final_learning_rate = 0.0;  ///< where linear and cosine end
  double clip_norm = 1.0;            ///< 0: gradients are not clipped
};

struct TrainConfig {
  std::string output_dir;
  uint64_t seed = 1;
  std::string device = "cpu";
  int64_t threads = 0;  ///< of LibTorch; 0: all cores
  ModelConfig model;
  DataConfig data;
  OptimizerConfig optimizer;
  std::optional<int64_t> epochs;  ///< one of epochs and steps is set
  std::optional<int64_t> steps;
  int64_t batch_size = 128;
  int64_t keep_checkpoints = 2;  ///< besides the last and the best
  int64_t eval_every = 0;        ///< steps; 0: at the end of each epoch
  int64_t log_every = 100;       ///< steps between lines of metrics.jsonl
};

/// Reads and checks a config file. Throws Error naming file, line, key, expected and found.
TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& overrides);

/// The config with every default written out, as YAML. load_train_config of it gives the same config.
std::string to_yaml(const TrainConfig& config);

/// The lines that decide what a run computes: to_yaml without output_dir, threads, logging and the like. A
/// run may only be resumed with the same ones.
std::string resume_key(const TrainConfig& config);

}  // namespace rotor::train
