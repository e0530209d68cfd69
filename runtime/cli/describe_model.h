// What is in a model's file, as JSON: what `rotor info` prints. Any format that Rotor reads.
#pragma once

#include <string>

#include "rotor/formats/json.h"

namespace rotor::runtime::cli {

/// Keys: format, file_bytes, tensors (name, dtype, shape, bytes; of ternary ones scale and sparsity where
/// they can be had without reading all weights). Of a model that Rotor can run or convert also: source,
/// config, parameters, scale_convention, tokenizer (kind, vocab_size; null without), chat_template,
/// bos_token, stop_tokens; of a .rotor file fingerprint, memory_bytes, context, kv_bytes_per_token. Of an
/// adapter's directory: source, config (what is not null), parameters, base_model, base_fingerprint (null if
/// unknown), layers (module, rank, scale). Of a file of a known
/// container that is no such model: `unreadable`, which says why. Throws Error for anything else.
Json describe_model(const std::string& path);

}  // namespace rotor::runtime::cli
