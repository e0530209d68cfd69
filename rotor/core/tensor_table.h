// The tensors of each architecture: what a checkpoint must hold, and what export and runtime look for, each
// exactly once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"

namespace rotor {

/// What a tensor is for; it decides how a model file stores it.
enum class TensorRole {
  linear,  ///< matrix of a linear layer, [out, in]: planes and a scale when the model is ternary, else float,
           ///< or of an encoder what DenseFormat::layers says
  dense,   ///< the same of a layer that a ternary model keeps dense (modules_to_not_convert): float32
  vector,  ///< norm weight or bias: always float32
  embedding,  ///< token embedding or dense head, [vocab, hidden]: float, or 8-bit with a scale a row
};

struct TensorSpec {
  std::string name;  ///< as in a checkpoint, e.g. "layers.0.linear.weight"
  std::vector<int64_t> shape;
  TensorRole role;
};

/// All tensors of `config`'s architecture, in the order of the forward pass. `config` is valid.
std::vector<TensorSpec> tensor_table(const ModelConfig& config);

/// The matrix that gives the logits: the embedding if it is tied, else lm_head.
std::string head_name(const TransformerConfig& config);

/// Sum of the element counts.
int64_t num_parameters(const std::vector<TensorSpec>& table);

/// Whether the model holds this tensor as ternary values and a scale.
bool is_ternary(const ModelConfig& config, const TensorSpec& spec);

/// The ternary matrix of the layer whose bias is called `name`; nothing if that is no bias, or the bias of a
/// layer that is not ternary.
std::optional<TensorSpec> ternary_of_bias(const ModelConfig& config, const std::string& name);

/// Name of the scale that belongs to a ternary matrix: "<name>_scale".
std::string scale_name(const std::string& weight_name);

}  // namespace rotor
