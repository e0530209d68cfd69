#include "runtime/retrieval/model_embedder.h"

#include <mutex>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "runtime/engine/embedding_model.h"
#include "runtime/engine/language_embeddings.h"

namespace rotor::runtime::retrieval {
namespace {

EmbeddingModel::KeepGoing as_model_asks(const std::function<bool()>& keep_going) {
  if (!keep_going) return {};
  return [&keep_going](int64_t) { return keep_going(); };
}

/// All vectors, or an error: half of a document is of no use.
std::vector<float> all_of(std::vector<float> vectors, size_t texts, int64_t dimensions) {
  if (vectors.size() != texts * static_cast<size_t>(dimensions)) fail("embedding was stopped");
  return vectors;
}

class EncoderEmbedder : public rag::Embedder {
 public:
  EncoderEmbedder(const std::string& path, int64_t threads) : model_(path, {.threads = threads}) {}

  std::string id() const override { return "encoder " + model_.id(); }
  int64_t dimensions() const override { return model_.dimensions(); }
  int64_t max_tokens() const override { return model_.max_tokens() - 2; }  // [CLS] and [SEP]
  int64_t count_tokens(std::string_view text) const override {
    return std::ssize(model_.tokenizer().encode(text, text::SpecialTokens::as_text));
  }
  std::vector<float> embed(std::span<const std::string> texts,
                           const std::function<bool()>& keep_going) override {
    return all_of(model_.embed(texts, as_model_asks(keep_going)), texts.size(), dimensions());
  }

 private:
  EmbeddingModel model_;
};

class LanguageEmbedder : public rag::Embedder {
 public:
  LanguageEmbedder(const std::string& path, int64_t threads) : model_(path, options(threads)) {
    if (model_.tokenizer() == nullptr) fail(path, ": the file holds no tokenizer: texts cannot be embedded");
  }

  std::string id() const override { return "language model " + embedding_fingerprint(model_.file()); }
  int64_t dimensions() const override { return model_.config().hidden_size; }
  int64_t max_tokens() const override { return model_.config().max_position_embeddings - 1; }  // BOS
  int64_t count_tokens(std::string_view text) const override {
    return std::ssize(model_.tokenizer()->encode(text, text::SpecialTokens::as_text));
  }
  std::vector<float> embed(std::span<const std::string> texts,
                           const std::function<bool()>& keep_going) override {
    std::vector<std::string> fitting;
    for (const std::string& text : texts) fitting.push_back(beginning(text));
    const std::lock_guard lock(mutex_);
    return all_of(embed_by_language_model(model_, {}, fitting, as_model_asks(keep_going)), texts.size(),
                  dimensions());
  }

 private:
  static LanguageModelOptions options(int64_t threads) {
    LanguageModelOptions options;
    options.threads = threads;
    return options;
  }
  /// What of a text the model can read; a blank of one that has no tokens.
  std::string beginning(const std::string& text) const {
    auto ids = model_.tokenizer()->encode(text, text::SpecialTokens::as_text);
    if (ids.empty()) return " ";
    std::string cut = text;
    // What was cut between two characters of a token may be read as more tokens than before.
    for (auto most = static_cast<size_t>(max_tokens()); count_tokens(cut) > max_tokens(); --most) {
      ids.resize(most);
      cut = model_.tokenizer()->decode(ids);
    }
    return cut;
  }

  LanguageModel model_;
  std::mutex mutex_;  // each call has a batch of its own
};

}  // namespace

std::shared_ptr<rag::Embedder> model_embedder(const std::string& path, int64_t threads) {
  if (RotorFile(path).config().is_encoder()) return std::make_shared<EncoderEmbedder>(path, threads);
  return std::make_shared<LanguageEmbedder>(path, threads);
}

}  // namespace rotor::runtime::retrieval
