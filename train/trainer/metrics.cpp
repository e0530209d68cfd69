// Names in the two formats.
#include "train/trainer/metrics.h"

#include "rotor/core/error.h"
#include "train/models/adapter.h"

namespace rotor::train {
namespace {

constexpr const char* kEvalPrefix = "eval_";
constexpr const char* kAdapterSize = "adapter_size";

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
  ternary_telemetry(step, module);
  adapter_telemetry(step, module);
  if (events_) events_->flush();
}

void Metrics::adapter_telemetry(int64_t step, const torch::nn::Module& module) {
  Json layers = Json::object();
  for (const auto& [name, size] : adapter_sizes(module)) {
    layers[name] = {{kAdapterSize, size}};
    if (events_) events_->scalar(cat(kAdapterSize, "/", name), size, step);
  }
  if (!layers.empty()) directory_.log({{"step", step}, {"telemetry", layers}});
}

void Metrics::ternary_telemetry(int64_t step, const torch::nn::Module& module) {
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
}

void Metrics::sample(int64_t step, const std::string& text) {
  directory_.log({{"step", step}, {"sample", text}});
  if (!events_) return;
  events_->text("sample", text, step);
  events_->flush();
}

}  // namespace rotor::train
