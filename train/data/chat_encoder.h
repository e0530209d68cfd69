// Conversations as tokens, and which of them a model is to predict: what the assistant says, as the model's
// chat template writes it.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "rotor/text/chat_template.h"
#include "rotor/text/tokenizer.h"
#include "train/data/chat_record.h"

namespace rotor::train {

/// Tokens of a conversation, and which of them the model is to predict.
struct EncodedChat {
  std::vector<text::TokenId> tokens;
  std::vector<bool> targets;  ///< as many; the first one is never predicted

  int64_t num_targets() const;
};

/// Immutable: several threads may use one.
class ChatEncoder {
 public:
  /// `tokenizer` must outlive the encoder. `chat_template`: nothing if the data are plain texts, which stand
  /// between `bos` and `eos` if there are such.
  ChatEncoder(const text::Tokenizer& tokenizer, std::optional<text::ChatTemplate> chat_template,
              std::optional<text::TokenId> bos, std::optional<text::TokenId> eos);

  /// Of a conversation, the answers of the assistant with what ends each; of a plain text, all of it. The
  /// template's special tokens are parsed wherever they stand. A token that lies partly in an answer counts
  /// as the answer's (transformers, apply_chat_template with return_assistant_tokens_mask). Throws Error for
  /// what the template refuses, and for a conversation without a template.
  EncodedChat encode(const ChatRecord& record) const;

  /// The prompt with the chosen, and with the rejected answers, of which each is predicted.
  std::pair<EncodedChat, EncodedChat> encode(const PreferenceRecord& record) const;

 private:
  EncodedChat encode_messages(const OrderedJson& messages, const OrderedJson& tools,
                              size_t first_answer) const;
  EncodedChat encode_text(const std::string& text) const;

  const text::Tokenizer* tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::optional<text::TokenId> bos_, eos_;
};

/// A chat template for models that have none and whose vocabulary has no tokens for turns: "User: ..." and
/// "Assistant: ..." on lines, each answer ended by the end-of-text token.
extern const char* const kPlainChatTemplate;

}  // namespace rotor::train
