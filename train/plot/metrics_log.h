// What a run has logged: metrics.jsonl, read into curves. How they are drawn is plot_page's business.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rotor::train {

/// Values by step; of two values for one step the later line's counts.
using Curve = std::map<int64_t, double>;

struct Sample {
  int64_t step;
  std::string text;
};

struct MetricsLog {
  std::map<std::string, Curve> metrics;  ///< by key: "loss", "eval_loss", ...
  /// telemetry["zero"]["layers.0.linear.weight"]
  std::map<std::string, std::map<std::string, Curve>> telemetry;
  std::vector<Sample> samples;     ///< by step
  std::vector<std::string> notes;  ///< what the reader of the plots should know about the file

  bool empty() const { return metrics.empty() && telemetry.empty() && samples.empty(); }
};

/// Reads lines {"step": N, "loss": 1.5, "telemetry": {LAYER: {"zero": 0.4}}, "sample": "text"}; each key but
/// `step` may be missing, and keys with other values are left out. Lines that are no such objects, as a
/// killed run leaves one at the end, are left out with a note. Throws Error naming the file if it cannot be
/// read or has nothing to plot.
MetricsLog read_metrics(const std::string& path);

}  // namespace rotor::train
