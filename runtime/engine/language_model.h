// A language model ready to run: the file, the backend, the network, and the tokenizer that the file holds.
// Immutable once made: any number of sessions share it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/rotor_file.h"
#include "rotor/text/tokenizer.h"
#include "runtime/backends/backend.h"
#include "runtime/engine/generate.h"
#include "runtime/engine/perplexity.h"
#include "runtime/engine/session.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

struct LanguageModelOptions {
  std::string backend;  ///< empty: the first that runs here
  int64_t threads = 0;  ///< 0: one a core
  bool pin = false;     ///< each thread to a core of its own
  bool float_activations = false;
  bool check = false;  ///< verify the whole file first
  FileMemory memory;   ///< of the model file
};

class LanguageModel {
 public:
  /// Throws Error naming the file if it holds no language model, or a tokenizer with more tokens than the
  /// model has.
  explicit LanguageModel(const std::string& path, const LanguageModelOptions& options = {});
  LanguageModel(const LanguageModel&) = delete;  // its parts view one another
  LanguageModel& operator=(const LanguageModel&) = delete;

  const RotorFile& file() const { return file_; }
  const Transformer& transformer() const { return transformer_; }
  const TransformerConfig& config() const { return transformer_.config().transformer; }
  Backend& backend() const { return *backend_; }
  /// nullptr if the file holds none.
  const text::Tokenizer* tokenizer() const { return tokenizer_.get(); }

  /// Ids that may be drawn are 0 to this - 1: the tokenizer's, where the model's vocabulary is padded beyond
  /// them.
  int64_t vocab_size() const;
  /// The token that begins a text, if the model was trained with one.
  std::optional<text::TokenId> bos() const { return bos_; }
  /// The tokens that end a text.
  const std::vector<text::TokenId>& stop_tokens() const { return stop_tokens_; }

  /// This object must outlive the session.
  Session make_session(const SessionOptions& options) const;

 private:
  RotorFile file_;
  std::unique_ptr<Backend> backend_;
  Transformer transformer_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<text::TokenId> bos_;
  std::vector<text::TokenId> stop_tokens_;
};

/// `session` as generate() wants it, with the room that is left in it now; `session` must outlive the result.
TokenFeed feed_of(Session& session);

/// `session`, whose cache is emptied for every chunk, as perplexity() wants it; `keep_going` is asked every
/// `batch` tokens. With `checks` each scored token's screened logits are held against the whole ones. All
/// must outlive the result.
ComputeChunk chunks_of(Session& session, int64_t batch, const std::function<bool()>& keep_going,
                       std::span<ScreeningCheck> checks = {});

}  // namespace rotor::runtime
