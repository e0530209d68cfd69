// ModelConfig as JSON with Hugging Face key names: the config.json of a checkpoint and the `rotor.config` of
// a .rotor file.
#pragma once

#include <string>

#include "rotor/core/model_config.h"

namespace rotor {

/// Canonical text, keys sorted; `indent` as in dump_json.
std::string model_config_to_json(const ModelConfig& config, int indent = -1);

/// Throws Error naming `source`, the key, what was expected and what was found. An unknown key is an error.
ModelConfig model_config_from_json(const std::string& text, const std::string& source);

}  // namespace rotor
