// Models of published shapes with random weights: what a machine does with a model is known before its
// gigabyte is downloaded.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::runtime {

/// "bitnet-2b-4t" and others; published_shape throws Error listing them.
std::vector<std::string> published_shapes();
ModelConfig published_shape(const std::string& name);

/// Writes a .rotor file of `config` (a ternary transformer, no tokenizer) with about equal shares of -1, 0
/// and +1 and a uniform embedding; the same file every time. `on_tensor` is called with the number of tensors
/// written and of all.
void write_synthetic_model(const std::string& path, const ModelConfig& config, DenseFormat dense,
                           const std::function<void(int64_t done, int64_t total)>& on_tensor);

}  // namespace rotor::runtime
