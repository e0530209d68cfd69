// The memory in which one user of a model computes, and the adapters that it computes with: on the device
// until that is lost, from then on the CPU. What was in the memory is lost with it; whoever has it knows how
// to compute it again.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/engine/placement.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

class PlacedStages {
 public:
  /// Allocates on `head`, which computes the head, what is needed beside the stages; called whenever these
  /// are made.
  using Allocate = std::function<void(Backend& head)>;

  /// `model` and what `placement` refers to must outlive this object. Throws Error if there is no memory, or
  /// for adapters that do not fit the model.
  PlacedStages(const Transformer& model, std::shared_ptr<Placement> placement,
               const Transformer::StageOptions& options, std::vector<ActiveAdapter> adapters,
               Allocate allocate);

  std::span<const Transformer::Stage> stages() const { return stages_; }
  Backend& head_backend() const { return *stages_.back().backend; }
  const std::vector<ActiveAdapter>& adapters() const { return adapters_; }

  /// Does `work`. False if the device was lost meanwhile: then stages() are new ones on the CPU with nothing
  /// in their caches, and `work` is to be done again. Throws DeviceLost if there is no CPU to go on, and
  /// Error if it has no memory: the next call tries again.
  bool survives(const auto& work) {
    try {
      if (!stages_.empty()) {
        work();
        return true;
      }
      make();
      return false;
    } catch (const DeviceLost& error) {
      if (on_cpu_ || !placement_->lose(error)) throw;
    }
    on_cpu_ = true;
    stages_.clear();
    make();
    return false;
  }

  /// Computes with these from now on. What lies in the caches was made by those before. Throws Error, and
  /// then leaves all as it was, for one that does not fit the model, and if there is no room for it. False
  /// like survives(), with these on the new stages.
  bool set_adapters(const std::vector<ActiveAdapter>& adapters);

 private:
  void make();
  void attach(std::span<Transformer::Stage> stages) const;

  const Transformer& model_;
  std::shared_ptr<Placement> placement_;
  Transformer::StageOptions options_;
  std::vector<ActiveAdapter> adapters_;
  Allocate allocate_;
  std::vector<Transformer::Stage> stages_;  // none: there was no memory for them
  bool on_cpu_ = false;                     // since the device was lost
};

}  // namespace rotor::runtime
