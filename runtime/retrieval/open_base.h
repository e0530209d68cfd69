// A knowledge base by its name, with the embedder that it was made with.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/rag/knowledge_base.h"

namespace rotor::runtime::retrieval {

struct BaseOptions {
  /// What makes vectors: a .rotor file, or a server's address (http_embedder.h); "": what the base says.
  std::string embedder;
  int64_t threads = 0;  ///< of a model; 0: one a core
  /// Told what a user should know; empty: nobody.
  std::function<void(const std::string& message)> say;
};

/// Whether there is a base of that name: a SQLite file, or postgresql://HOST/DATABASE#BASE. Throws Error if
/// its server cannot be asked.
bool has_base(const std::string& name, const BaseOptions& options);

/// Makes a base there. `options.embedder` "": one that is searched by words alone.
/// `chunks.max_tokens` 0: as many as suit the embedder. Throws Error if there is one of that name already.
std::shared_ptr<rag::KnowledgeBase> create_base(const std::string& name, const BaseOptions& options,
                                                rag::ChunkOptions chunks);

/// Opens it, and its embedder. Throws Error naming the base, also if the embedder is another one than that
/// which it was made with.
std::shared_ptr<rag::KnowledgeBase> open_base(const std::string& name, const BaseOptions& options);

/// Makes the base alone: for what brings its own embedder.
void create_store(const std::string& name, const rag::BaseConfig& config, const BaseOptions& options);

/// The base alone: for what neither embeds nor searches.
std::shared_ptr<rag::Store> open_store(const std::string& name, const BaseOptions& options);

}  // namespace rotor::runtime::retrieval
