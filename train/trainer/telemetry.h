// What happens to ternary weights while they are trained: how many are -1, 0 and +1, how many changed since
// the last look, how many latent weights are about to. It counts; metrics.jsonl, TensorBoard and `rotor-train
// plot` show it.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rotor/formats/json.h"

namespace rotor::train {

/// A latent weight is near a threshold if |w| is within this many mean|w| of 0.5 mean|w|, where codes change
/// from 0 to -1 or +1.
inline constexpr float kNearThreshold = 0.05F;

/// Counts of one ternary layer, or their sums over all layers.
struct LayerTelemetry {
  /// Weights whose code differs from the one at the observation before. (What happened in between is not
  /// seen.)
  struct Changes {
    int64_t sign_flips = 0;  ///< -1 to +1 or back
    int64_t to_zero = 0;
    int64_t from_zero = 0;
    int64_t total() const { return sign_flips + to_zero + from_zero; }
  };

  std::string name;
  int64_t num_weights = 0;
  int64_t minus = 0;
  int64_t zero = 0;
  int64_t plus = 0;
  int64_t near_threshold = 0;
  int64_t dead_rows = 0;           ///< rows (outputs) whose codes are all 0
  std::optional<Changes> changes;  ///< nothing at a layer's first observation
  std::optional<float> scale;      ///< weight = code * scale; nothing in sums
};

class TernaryTelemetry {
 public:
  /// The latent matrices [out, in] of `observe`, by name.
  using Latents = std::vector<std::pair<std::string, torch::Tensor>>;

  /// Counts the codes that rotor/core's quantizer gives, which are those that export packs, on the CPU
  /// (tensors on another device are copied), layers in parallel. Remembers them for the next call: one byte a
  /// weight. Throws Error naming the layer if a weight is not finite.
  std::vector<LayerTelemetry> observe(const Latents& latents);

  /// The remembered codes as a safetensors file (I8, by the names of the latents), so that a resumed run
  /// counts the changes that an unbroken one does. load() forgets what was remembered; it throws Error for a
  /// bad file.
  void save(const std::string& path) const;
  void load(const std::string& path);

 private:
  std::map<std::string, std::vector<int8_t>> codes_;
};

/// The latent weights of all ternary TernaryLinear layers in `module`, by their parameter names.
TernaryTelemetry::Latents ternary_latents(const torch::nn::Module& module);

/// Sums over layers, named "all"; changes only if every layer has them.
LayerTelemetry sum_of(const std::vector<LayerTelemetry>& layers);

/// A layer's figures by the names that metrics.jsonl has for them: shares (0 to 1) of its weights `minus`,
/// `zero`, `plus`, `near_threshold`, and, from the second observation on, `changed` = `sign_flips` +
/// `to_zero` + `from_zero`; the number of `dead_rows`; `scale`.
std::vector<std::pair<std::string, double>> figures(const LayerTelemetry& layer);

/// {"all": {"zero": 0.4, ...}, "layers.0.linear.weight": {...}, ...}; {} without layers.
Json telemetry_json(const std::vector<LayerTelemetry>& layers);

}  // namespace rotor::train
