// What makes vectors of texts: an encoder, the loaded language model, or a server (engine_embedder.h,
// http_embedder.h).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace rotor::runtime::rag {

/// Used by several threads at once.
class Embedder {
 public:
  virtual ~Embedder() = default;

  /// The same for two that give the same vectors; a base is bound to one.
  virtual std::string id() const = 0;
  virtual int64_t dimensions() const = 0;
  /// Most tokens that count; what is behind them changes nothing.
  virtual int64_t max_tokens() const = 0;
  virtual int64_t count_tokens(std::string_view text) const = 0;
  /// [texts, dimensions], each of length 1. Throws Error. `keep_going` is asked now and then; empty, or
  /// false: stops with Error.
  virtual std::vector<float> embed(std::span<const std::string> texts,
                                   const std::function<bool()>& keep_going) = 0;
};

}  // namespace rotor::runtime::rag
