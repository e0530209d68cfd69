// A sentence encoder ready to use: the file, its tokenizer, the network, threads. It takes texts and gives
// vectors; language models have theirs from a Batcher (BatchRequest::embed). It keeps no vectors: a knowledge
// base does.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/rotor_file.h"
#include "rotor/text/tokenizer.h"
#include "runtime/model/encoder.h"

namespace rotor::runtime {

struct EmbeddingModelOptions {
  int64_t threads = 0;  ///< 0: one a core
  bool check = false;   ///< verify the whole file first
};

/// What became of a text.
struct EmbeddedText {
  int64_t tokens = 0;  ///< that it has, with [CLS] and [SEP]
  bool cut = false;    ///< it has more than max_tokens(): the vector is that of its beginning
};

/// All methods may be called from several threads at once; their texts are computed in turns.
class EmbeddingModel {
 public:
  /// Called with the number of texts done so far; returns false to stop.
  using KeepGoing = std::function<bool(int64_t done)>;

  /// Throws Error naming the file if it holds no sentence encoder, or no WordPiece tokenizer of at most as
  /// many tokens as the encoder has.
  explicit EmbeddingModel(const std::string& path, const EmbeddingModelOptions& options = {});
  EmbeddingModel(const EmbeddingModel&) = delete;  // its parts view one another
  EmbeddingModel& operator=(const EmbeddingModel&) = delete;

  const RotorFile& file() const { return file_; }
  /// Numbers a vector has.
  int64_t dimensions() const { return encoder_.config().hidden_size; }
  /// Tokens of a text that are used, [CLS] and [SEP] among them.
  int64_t max_tokens() const { return encoder_.config().max_seq_length; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  int64_t threads() const { return compute_->pool.threads(); }
  /// The kernel set that computes.
  std::string kernels() const { return compute_->kernels.name(); }
  /// A fingerprint of weights, tokenizer, pooling and length (embedding_fingerprint()): vectors of models
  /// with different ids do not belong into one knowledge base.
  std::string id() const;

  /// The vectors of `texts`, [texts, dimensions()]. Longer texts than max_tokens() are cut, which `details`
  /// says if it is given, an entry a text. Special tokens in a text are read as text. Texts of any length are
  /// computed together without padding, and a vector is the same to the bit whatever it is computed with.
  /// If `keep_going` ends it, only the vectors of the texts that are done. Throws Error naming the
  /// file if it shrank meanwhile, and if its weights give numbers that are not finite.
  std::vector<float> embed(std::span<const std::string> texts, const KeepGoing& keep_going = {},
                           std::vector<EmbeddedText>* details = nullptr) const;

 private:
  std::vector<int32_t> tokens_of(const std::string& text, EmbeddedText& details) const;

  RotorFile file_;
  Encoder encoder_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<CpuCompute> compute_;
};

}  // namespace rotor::runtime
