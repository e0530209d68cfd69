// Vectors of texts from a server with OpenAI's POST /v1/embeddings: `rotor serve`, llama-server, Ollama,
// OpenAI's own.
#pragma once

#include <memory>
#include <string>

#include "runtime/rag/embedder.h"

namespace rotor::runtime::retrieval {

/// Whether it is the address of a server rather than a file's name.
bool is_address(const std::string& text);

struct HttpEmbedderOptions {
  std::string key;             ///< sent as bearer token; "": none
  int64_t tries = 4;           ///< of each request, if the server is not there or busy
  double first_pause_s = 0.5;  ///< between two tries; doubled each time
};

/// `address`: "http://127.0.0.1:8080/v1#MODEL", where "#MODEL" may be missing if the server has one model
/// alone. Asks the server for its model and the length of a vector. Throws Error naming the address; so does
/// embed().
std::shared_ptr<rag::Embedder> http_embedder(const std::string& address,
                                             const HttpEmbedderOptions& options = {});

}  // namespace rotor::runtime::retrieval
