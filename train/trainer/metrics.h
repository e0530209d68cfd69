// What a run records of itself: lines of metrics.jsonl and TensorBoard events, the same figures in both.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "train/trainer/event_writer.h"
#include "train/trainer/run_directory.h"
#include "train/trainer/telemetry.h"

namespace rotor::train {

class Metrics {
 public:
  /// `directory` must outlive this object. `resumed_step`: where a resumed run goes on.
  Metrics(RunDirectory& directory, bool tensorboard, std::optional<int64_t> resumed_step);

  /// One line {"step", name: value, ...}; events NAME, those that begin with eval_ below eval/.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  /// One line {"step", "telemetry": {...}} on the module's ternary layers that are trained (telemetry.h), and
  /// one on its adapters (adapter_sizes, as `adapter_size`), if it has any.
  void telemetry(int64_t step, const torch::nn::Module& module);
  /// What the next line of telemetry compares with, to and from a checkpoint.
  void save_telemetry(const std::string& path) const { telemetry_.save(path); }
  void load_telemetry(const std::string& path) { telemetry_.load(path); }
  /// One line {"step", "sample"}.
  void sample(int64_t step, const std::string& text);

 private:
  void ternary_telemetry(int64_t step, const torch::nn::Module& module);
  void adapter_telemetry(int64_t step, const torch::nn::Module& module);

  RunDirectory& directory_;
  std::optional<EventWriter> events_;
  TernaryTelemetry telemetry_;
};

}  // namespace rotor::train
