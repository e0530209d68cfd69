// ModelConfig as JSON with Hugging Face key names: the config.json of a checkpoint and the `rotor.config` of
// a .rotor file.
#pragma once

#include <string>

#include "rotor/core/model_config.h"

namespace rotor {

/// Canonical text, keys sorted; `indent` as in dump_json.
std::string model_config_to_json(const ModelConfig& config, int indent = -1);

/// How a checkpoint stores its ternary matrices (`quantization_config`; transformers,
/// integrations/bitnet.py).
struct StoredQuantization {
  bool packed = false;         ///< `quantization_mode: offline`: codes in U8 and a scale, not float masters
  bool scale_divides = false;  ///< `linear_class: bitlinear`: weight = code / weight_scale, not code * it
};

/// Throws Error naming `source`, the key, what was expected and what was found. For an mlp an unknown key is
/// an error; a transformer's config may hold keys that do not change what is computed, those that would are
/// refused. `stored` receives how matrices are stored; without it only float masters are accepted.
ModelConfig model_config_from_json(const std::string& text, const std::string& source,
                                   StoredQuantization* stored = nullptr);

}  // namespace rotor
