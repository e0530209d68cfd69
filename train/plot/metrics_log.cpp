// Line by line, with what is broken left out and said.
#include "train/plot/metrics_log.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor::train {
namespace {

/// Keys of a line that are no metrics: where it stands in the run.
bool is_position(const std::string& key) {
  return key == "step" || key == "epoch";
}

void add_telemetry(const Json& telemetry, int64_t step, MetricsLog& log) {
  for (const auto& [layer, figures] : telemetry.items()) {
    if (!figures.is_object()) continue;
    for (const auto& [figure, value] : figures.items()) {
      if (value.is_number()) log.telemetry[figure][layer][step] = value.get<double>();
    }
  }
}

/// False if the line is not an object with a step.
bool add_line(const std::string& line, MetricsLog& log) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return false;
  const auto step = json["step"].get<int64_t>();
  for (const auto& [key, value] : json.items()) {
    if (key == "telemetry" && value.is_object()) {
      add_telemetry(value, step, log);
    } else if (key == "sample" && value.is_string()) {
      log.samples.push_back({step, value.get<std::string>()});
    } else if (value.is_number() && !is_position(key)) {
      log.metrics[key][step] = value.get<double>();
    }
  }
  return true;
}

}  // namespace

MetricsLog read_metrics(const std::string& path) {
  if (std::filesystem::is_directory(path)) fail(path, ": expected a file, found a directory");
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path, ": cannot open: expected the metrics of a run of rotor-train fit");
  MetricsLog log;
  int64_t number = 0;
  int64_t first_bad = 0;
  int64_t bad = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos || add_line(line, log)) continue;
    if (bad++ == 0) first_bad = number;
  }
  if (in.bad()) fail(path, ": cannot read");
  if (log.empty()) {
    if (number == 0) fail(path, ": is empty: the run has logged nothing yet");
    fail(path, ": nothing to plot in ", number, " lines: expected objects with \"step\" and numbers");
  }
  if (bad == 1 && first_bad == number) {
    log.notes.push_back(
        "The last line of metrics.jsonl is incomplete and left out: the run was killed, or is writing.");
  } else if (bad > 0) {
    log.notes.push_back(cat(bad, bad == 1 ? " line" : " lines", " of metrics.jsonl cannot be read and ",
                            bad == 1 ? "is" : "are", " left out, the first being line ", first_bad, "."));
  }
  std::stable_sort(log.samples.begin(), log.samples.end(),
                   [](const Sample& a, const Sample& b) { return a.step < b.step; });
  return log;
}

}  // namespace rotor::train
