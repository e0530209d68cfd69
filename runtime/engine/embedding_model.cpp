// Texts in their order, in steps of so many tokens that activations stay in fast caches.
#include "runtime/engine/embedding_model.h"

#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kStepTokens = 512;

}  // namespace

EmbeddingModel::EmbeddingModel(const std::string& path, const EmbeddingModelOptions& options)
    : file_(path), encoder_(file_), tokenizer_(text::tokenizer_of(file_)) {
  if (options.check) file_.check();
  if (tokenizer_ == nullptr) fail(path, ": the file holds no tokenizer: export the model with its files");
  // Every tokenizer of this kind has [CLS] and [SEP], which stand around a text.
  const int64_t vocab_size = encoder_.config().vocab_size;
  if (tokenizer_->kind() != rotor_tokenizer::kWordPiece || tokenizer_->vocab_size() > vocab_size) {
    fail(path, ": expected a WordPiece tokenizer of at most ", vocab_size, " tokens (vocab_size), found ",
         tokenizer_->kind(), " of ", tokenizer_->vocab_size(), ": export the model anew");
  }
  compute_ = std::make_unique<CpuCompute>(options.threads);
}

std::string EmbeddingModel::id() const {
  return embedding_fingerprint(file_);
}

std::vector<int32_t> EmbeddingModel::tokens_of(const std::string& text, EmbeddedText& details) const {
  std::vector<int32_t> ids = {*tokenizer_->bos()};
  const auto words = tokenizer_->encode(text, text::SpecialTokens::as_text);
  details.tokens = std::ssize(words) + 2;
  details.cut = details.tokens > max_tokens();
  const auto used = words.begin() + std::min<std::ptrdiff_t>(std::ssize(words), max_tokens() - 2);
  ids.insert(ids.end(), words.begin(), used);
  ids.push_back(*tokenizer_->eos());
  return ids;
}

std::vector<float> EmbeddingModel::embed(std::span<const std::string> texts, const KeepGoing& keep_going,
                                         std::vector<EmbeddedText>* details) const {
  const auto width = static_cast<size_t>(dimensions());
  std::vector<float> vectors(texts.size() * width);
  std::vector<EmbeddedText> seen(texts.size());
  Encoder::Workspace workspace = encoder_.make_workspace(0);
  std::vector<int32_t> ids;
  std::vector<int64_t> lengths;
  size_t done = 0;
  bool goes_on = true;
  const auto run = [&] {
    if (workspace.hidden.rows < std::ssize(ids)) workspace = encoder_.make_workspace(std::ssize(ids));
    const auto made = std::span(vectors).subspan(done * width, lengths.size() * width);
    encoder_.forward(*compute_, workspace, ids, lengths, made);
    file_.check_intact();
    if (!std::ranges::all_of(made, [](float value) { return std::isfinite(value); })) {
      fail(file_.path(),
           ": vector of a text: expected finite numbers, found others: see `rotor verify`, or "
           "export the model anew");
    }
    done += lengths.size();
    ids.clear();
    lengths.clear();
    if (keep_going) goes_on = keep_going(static_cast<int64_t>(done));
  };
  for (size_t i = 0; i < texts.size() && goes_on; ++i) {
    const auto tokens = tokens_of(texts[i], seen[i]);
    if (!lengths.empty() && std::ssize(ids) + std::ssize(tokens) > kStepTokens) run();
    if (!goes_on) break;
    ids.insert(ids.end(), tokens.begin(), tokens.end());
    lengths.push_back(std::ssize(tokens));
  }
  if (goes_on && !lengths.empty()) run();
  vectors.resize(done * width);
  seen.resize(done);
  if (details != nullptr) *details = std::move(seen);
  return vectors;
}

}  // namespace rotor::runtime
