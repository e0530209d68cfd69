// Vectors of texts from a model in a .rotor file: a sentence encoder, or the mean of a language model's last
// hidden states.
#pragma once

#include <memory>
#include <string>

#include "runtime/rag/embedder.h"

namespace rotor::runtime::retrieval {

/// Opens `path`, whichever of the two it holds. `threads` 0: one a core. Throws Error naming the file.
std::shared_ptr<rag::Embedder> model_embedder(const std::string& path, int64_t threads = 0);

}  // namespace rotor::runtime::retrieval
