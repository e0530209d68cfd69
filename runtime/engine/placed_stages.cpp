#include "runtime/engine/placed_stages.h"

#include <utility>

namespace rotor::runtime {

PlacedStages::PlacedStages(const Transformer& model, std::shared_ptr<Placement> placement,
                           const Transformer::StageOptions& options, std::vector<ActiveAdapter> adapters,
                           Allocate allocate)
    : model_(model),
      placement_(std::move(placement)),
      options_(options),
      adapters_(std::move(adapters)),
      allocate_(std::move(allocate)) {
  for (const ActiveAdapter& active : adapters_) model_.check_adapter(active);
  survives([] {});
}

void PlacedStages::make() {
  std::vector<Transformer::Stage> stages = placement_->make_stages(options_);
  attach(stages);
  allocate_(*stages.back().backend);
  stages_ = std::move(stages);
}

void PlacedStages::attach(std::span<Transformer::Stage> stages) const {
  for (Transformer::Stage& stage : stages) model_.attach(stage, adapters_, options_.batch);
}

bool PlacedStages::set_adapters(const std::vector<ActiveAdapter>& adapters) {
  if (adapters == adapters_) return survives([] {});
  for (const ActiveAdapter& active : adapters) model_.check_adapter(active);
  const std::vector<ActiveAdapter> before = std::exchange(adapters_, adapters);
  try {
    return survives([&] { attach(stages_); });
  } catch (...) {
    for (Transformer::Stage& stage : stages_) stage.adapters = {};  // which view what goes now
    adapters_ = before;
    attach(stages_);
    throw;
  }
}

}  // namespace rotor::runtime
