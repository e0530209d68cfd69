// Names in the two formats.
#include "train/trainer/metrics.h"

namespace rotor::train {
namespace {

constexpr const char* kEvalPrefix = "eval_";

std::string event_tag(const std::string& name) {
  if (name.starts_with(kEvalPrefix)) return "eval/" + name.substr(std::string(kEvalPrefix).size());
  return "train/" + name;
}

}  // namespace

Metrics::Metrics(RunDirectory& directory, bool tensorboard, std::optional<int64_t> resumed_step)
    : directory_(directory) {
  if (tensorboard) events_.emplace(directory.file("tensorboard"), resumed_step);
}

void Metrics::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  Json line = {{"step", step}};
  for (const auto& [name, value] : values) {
    line[name] = value;
    if (events_) events_->scalar(event_tag(name), value, step);
  }
  directory_.log(line);
  if (events_) events_->flush();
}

void Metrics::telemetry(int64_t step, const torch::nn::Module& module) {
  auto layers = telemetry_.observe(ternary_latents(module));
  if (layers.empty()) return;
  directory_.log({{"step", step}, {"telemetry", telemetry_json(layers)}});
  if (!events_) return;
  layers.push_back(sum_of(layers));
  for (const LayerTelemetry& layer : layers) {
    for (const auto& [name, value] : figures(layer)) {
      events_->scalar("ternary_" + name + "/" + layer.name, value, step);
    }
  }
  events_->flush();
}

void Metrics::sample(int64_t step, const std::string& text) {
  directory_.log({{"step", step}, {"sample", text}});
  if (!events_) return;
  events_->text("sample", text, step);
  events_->flush();
}

}  // namespace rotor::train
