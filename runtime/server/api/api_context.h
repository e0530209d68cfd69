// What all endpoints share: the model, a way to hand texts to the batcher, the operator's options, and the
// adapters that there are. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "runtime/engine/language_model.h"
#include "runtime/server/api/api_options.h"
#include "runtime/server/api/fields.h"
#include "runtime/server/api/tools.h"

namespace rotor::runtime::server {

/// Batcher::submit, or a test's.
using Submit = std::function<std::shared_ptr<BatchText>(BatchRequest)>;

/// Which weights a request wants, and what its answer calls them.
struct ModelChoice {
  std::string name;
  std::vector<ActiveAdapter> adapters;
};

class ApiContext {
 public:
  /// `context`: tokens that a text may have. Throws Error for a template that is broken and for adapters of
  /// the same name.
  ApiContext(const LanguageModel& model, Submit submit, int64_t context, ApiOptions options);

  const LanguageModel& model() const { return model_; }
  const ApiOptions& options() const { return options_; }
  int64_t context() const { return context_; }
  int64_t created() const { return created_; }
  const std::string& fingerprint() const { return fingerprint_; }
  /// Throws ApiError 400 if the model has none.
  const text::Tokenizer& tokenizer() const;
  const text::ChatTemplate& chat_template() const;
  const ToolStyle& tools() const { return tool_style_; }
  /// Throws ApiError 400 if grammars are not there.
  const ConstraintFactory& constraints(const std::string& param) const;

  /// Hands a text in. Throws ApiError: 400 for what the batcher refuses, 429 or 503 if it is full or
  /// stopping.
  std::shared_ptr<BatchText> submit(BatchRequest request) const;
  /// Now and the operator's time limit.
  std::optional<Clock::time_point> deadline() const;

  /// The fields model and adapters. Throws ApiError 404 for a model, 400 for an adapter that is not there.
  ModelChoice choose_model(Fields& fields) const;
  std::vector<NamedAdapter> adapters() const;
  /// Reads the adapter in that directory of adapter_root. Throws ApiError.
  NamedAdapter load_adapter(const std::string& name, const std::string& directory) const;

  /// Says once which fields nobody knows.
  void note_unknown(const Fields& fields) const;

  /// Text as the model gets it behind nothing: with its begin-of-text token.
  std::vector<text::TokenId> encode_text(const std::string& text, text::SpecialTokens special,
                                         bool add_special) const;
  /// A field of token ids. Throws ApiError unless `value` is an array of ids of the model.
  std::vector<text::TokenId> read_tokens(const OrderedJson& value, const std::string& param) const;
  /// Throws ApiError 400 context_length_exceeded, naming both numbers, unless the prompt leaves room for
  /// `room` tokens, and if it is empty.
  void check_prompt(const std::vector<text::TokenId>& prompt, const std::string& param, int64_t room) const;

 private:
  const NamedAdapter* find_adapter(const std::string& name) const;

  const LanguageModel& model_;
  Submit submit_;
  int64_t context_;
  ApiOptions options_;
  int64_t created_;
  std::string fingerprint_;
  std::optional<text::ChatTemplate> chat_template_;
  ToolStyle tool_style_;
  mutable std::mutex mutex_;
  mutable std::vector<NamedAdapter> adapters_;
  mutable std::set<std::string> said_;  // unknown fields
};

int64_t unix_seconds(std::chrono::system_clock::time_point time);

/// "chatcmpl-" and 24 random letters and digits, for instance.
std::string random_id(const std::string& prefix, size_t length = 24);

}  // namespace rotor::runtime::server
