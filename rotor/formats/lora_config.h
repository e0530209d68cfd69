// What the adapter_config.json of a LoRA adapter says, as Hugging Face PEFT 0.21 reads and writes it (class
// LoraConfig): rank, scale, and which layers of the base are adapted. The weights beside it are
// peft_adapter.h. LoRA: Hu et al., arXiv 2106.09685; the scale of rsLoRA: Kalajdzievski, arXiv 2312.03732.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rotor {

inline constexpr const char* kAdapterConfigFile = "adapter_config.json";
/// Rotor's own key in it, which PEFT passes over: base_fingerprint() of the model that was adapted.
inline constexpr const char* kBaseFingerprintKey = "rotor_base_fingerprint";

/// A choice among the linear layers of a model, by their dotted names ("model.layers.0.mlp.up_proj").
struct ModuleChoice {
  std::vector<std::string> names;  ///< whole names, or what they end in behind a dot
  std::string pattern;             ///< or a regular expression of whole names

  bool empty() const { return names.empty() && pattern.empty(); }
};

/// What target_modules say for all linear layers but the head.
inline constexpr const char* kAllLinear = "all-linear";

struct LoraConfig {
  int64_t rank = 8;    ///< `r`
  double alpha = 8.0;  ///< `lora_alpha`
  bool use_rslora = false;
  double dropout = 0.0;     ///< `lora_dropout`, of training alone
  ModuleChoice targets;     ///< `target_modules`; neither names nor pattern: what the weights are for
  bool all_linear = false;  ///< `target_modules: "all-linear"`: all linear layers but the head
  ModuleChoice excluded;    ///< `exclude_modules`
  std::optional<std::vector<int64_t>> layers;  ///< `layers_to_transform`; unset: all
  /// Ranks and alphas of some layers: a regular expression of the end of their names, behind a dot. The first
  /// that matches counts.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
  std::string base_model;        ///< `base_model_name_or_path`; may be empty
  std::string base_fingerprint;  ///< empty: unknown, as in what PEFT writes

  /// Whether the linear layer of that name is adapted, as far as this says. Throws Error for a bad pattern.
  bool adapts(const std::string& module) const;
  /// Rank of its matrices, and the factor of their product: alpha / rank, of rsLoRA alpha / sqrt(rank).
  int64_t rank_of(const std::string& module) const;
  double scale_of(const std::string& module) const;
};

/// Throws Error naming `path`, key, expected and found, also for what Rotor does not run: DoRA, biases,
/// modules_to_save, layers that are repeated, bases that initialization changed, and other methods than LoRA.
LoraConfig lora_config_from_json(std::string_view text, const std::string& path);

/// The text of an adapter_config.json that PEFT loads, with a line feed at the end.
std::string lora_config_to_json(const LoraConfig& config);

}  // namespace rotor
