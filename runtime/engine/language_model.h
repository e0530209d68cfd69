// A language model ready to run: the file, the backends, the network, and the tokenizer that the file holds.
// Any number of sessions share it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/rotor_file.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/tokenizer.h"
#include "runtime/backends/backend.h"
#include "runtime/engine/generate.h"
#include "runtime/engine/perplexity.h"
#include "runtime/engine/placement.h"
#include "runtime/engine/session.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

/// A directory with an adapter in PEFT's form, and how often it is added to the base.
struct AdapterChoice {
  std::string directory;
  float weight = 1.0F;
};

struct LanguageModelOptions {
  std::string backend;  ///< empty: the first that runs here
  int64_t threads = 0;  ///< 0: one a core
  bool pin = false;     ///< each thread to a core of its own
  std::string device;   ///< number or part of the name of the backend's device; empty: the best one
  PlacementOptions placement;
  /// Called with what a user should know, from any thread; empty: it goes to stderr.
  std::function<void(const std::string& message)> warn;
  bool float_activations = false;
  bool check = false;                   ///< verify the whole file first
  FileMemory memory;                    ///< of the model file
  std::vector<AdapterChoice> adapters;  ///< that sessions begin with
  bool any_base = false;                ///< adapters of other bases are taken if their shapes fit
};

/// What computes a language model: a device, and the CPU beside it, which is nullptr if it is the device.
struct Backends {
  std::unique_ptr<Backend> device;
  std::unique_ptr<Backend> cpu;
};

class LanguageModel {
 public:
  /// Throws Error naming the file if it holds no language model, or a tokenizer with more tokens than the
  /// model has.
  explicit LanguageModel(const std::string& path, const LanguageModelOptions& options = {});
  /// With backends that the caller made; those that the options name if there are none.
  LanguageModel(const std::string& path, Backends backends, const LanguageModelOptions& options = {});
  LanguageModel(const LanguageModel&) = delete;  // its parts view one another
  LanguageModel& operator=(const LanguageModel&) = delete;

  const RotorFile& file() const { return file_; }
  const Transformer& transformer() const { return transformer_; }
  const TransformerConfig& config() const { return transformer_.config().transformer; }
  /// What computes the first layer: the device, or the CPU if the device has no layers or is lost.
  Backend& backend() const;
  const Backend& device() const { return *backends_.device; }
  /// nullptr if the file holds none.
  const text::Tokenizer* tokenizer() const { return tokenizer_.get(); }

  /// Ids that may be drawn are 0 to this - 1: the tokenizer's, where the model's vocabulary is padded beyond
  /// them.
  int64_t vocab_size() const;
  /// The token that begins a text, if the model was trained with one.
  std::optional<text::TokenId> bos() const { return bos_; }
  /// The chat template of the first adapter of the options that has one, or else the file's; nothing if there
  /// is none. Throws Error naming file and line if it is broken.
  std::optional<text::ChatTemplate> chat_template() const;
  /// The tokens that end a text.
  const std::vector<text::TokenId>& stop_tokens() const { return stop_tokens_; }

  /// Where the model runs. The first call of this or of make_session() decides it, so that a session with
  /// these options has room, and brings the weights to the device, where they stay. Throws Error if
  /// --gpu-layers cannot be obeyed.
  std::shared_ptr<Placement> place(const SessionOptions& options) const;
  /// nullptr before that.
  std::shared_ptr<const Placement> placement() const;
  /// Reads an adapter, for Session::set_adapters(); it stays in memory, and in the device's, as long as the
  /// model does. Throws Error naming what is wrong with it, also if it was made for another base.
  std::shared_ptr<const Adapter> load_adapter(const std::string& directory) const;
  /// Those of the options.
  const std::vector<ActiveAdapter>& adapters() const { return adapters_; }

  /// This object must outlive the session, which begins with adapters() if the options name none.
  Session make_session(const SessionOptions& options) const;

 private:
  std::shared_ptr<Placement> decide(const SessionOptions& options) const;

  RotorFile file_;
  Backends backends_;
  PlacementOptions placement_options_;
  Placement::Warn warn_;
  Transformer transformer_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::optional<text::TokenId> bos_;
  std::vector<text::TokenId> stop_tokens_;
  bool any_base_;
  std::vector<ActiveAdapter> adapters_;
  std::vector<std::string> adapter_directories_;
  mutable std::vector<std::shared_ptr<const Adapter>> loaded_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<Placement> placement_;
};

/// `session` as generate() wants it, with the room that is left in it now; `session` must outlive the result.
TokenFeed feed_of(Session& session);

/// `session`, whose cache is emptied for every chunk, as perplexity() wants it; `keep_going` is asked every
/// `batch` tokens. With `checks` each scored token's screened logits are held against the whole ones. All
/// must outlive the result.
ComputeChunk chunks_of(Session& session, int64_t batch, const std::function<bool()>& keep_going,
                       std::span<ScreeningCheck> checks = {});

}  // namespace rotor::runtime
