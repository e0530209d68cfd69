// The multi-layer perceptron of MlpConfig: its forward pass, written once on ops. The module that trained it
// is train/models/ternary_mlp.h; the seam test holds one against the other.
#pragma once

#include <functional>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

class Mlp {
 public:
  /// Called with the layer and the float input of its linear op, before quantization: [B, inputs].
  using Observer = std::function<void(int64_t layer, const Tensor& input)>;

  /// Memory for the activations of up to `batch` images; one a thread.
  struct Workspace {
    Tensor input;                // [batch, layer_sizes[0]]: to be filled by the caller
    std::vector<Tensor> layers;  // output of each layer
  };

  /// Views `file`, which must outlive this object and hold a model of type mlp.
  explicit Mlp(const RotorFile& file);

  const ModelConfig& config() const { return config_; }
  /// The weights of all layers, for Backend::hold().
  std::vector<WeightBytes> weights() const;
  Workspace make_workspace(Backend& backend, int64_t batch) const;

  /// Runs the network on workspace.input; returns the logits [batch, classes], which lie in the workspace.
  const Tensor& forward(Backend& backend, Workspace& workspace, const Observer& observer = {}) const;

 private:
  struct Layer {
    LinearWeights linear;
    std::span<const float> norm;  // empty if there is none
  };

  ModelConfig config_;
  std::vector<Layer> layers_;
};

}  // namespace rotor::runtime
