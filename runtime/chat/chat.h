// A conversation with a language model: messages in, answers out, each token computed once. The server and
// `rotor chat` use it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/chat_template.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime {

struct ChatAnswer {
  GenerateResult generated;
  int64_t prompt_tokens = 0;  ///< of the prompt as a whole
  int64_t cached_tokens = 0;  ///< of these, that were in the cache already
  int64_t left_out = 0;       ///< messages that the model did not see any more
};

class Chat {
 public:
  /// `model` must outlive the chat. Throws Error if the model has no tokenizer.
  Chat(const LanguageModel& model, text::ChatTemplate chat_template, const SessionOptions& options);

  /// All messages, an array of {"role", "content"}; those that are left out of the prompt too.
  const OrderedJson& messages() const { return messages_; }
  /// Replaces them. Throws Error naming message, field, expected and found.
  void set_messages(OrderedJson messages);
  /// The first message if it is of role system; "" removes it.
  void set_system(const std::string& text);
  /// Forgets all messages but that of the system.
  void reset();
  /// Forgets the last answer, so that answer() gives another one; false if there is none.
  bool take_back_answer();

  /// Called when the question is known and before it is answered: gives what the model is to read right
  /// before the question, for this answer alone; messages() does not have it, nor will later prompts.
  using MakeContext = std::function<std::string()>;

  /// Appends a message of the user and answers. If that throws, the chat is as it was before.
  ChatAnswer ask(const std::string& text, Sampler& sampler, const GenerateOptions& options,
                 const MakeContext& make_context = {});
  /// Answers the messages, whose last one is the user's, and appends the answer, also if it was interrupted.
  /// `options.cached`, `stop_tokens` and `continues_text` are set here.
  ///
  /// What does not fit the context: a prompt must leave room for max_new_tokens, at most a quarter of the
  /// context, or for a quarter if there is no limit. If it does not, the oldest turns (a message of the user
  /// and all up to the next one) are left out until the prompt takes at most half of the context, so that the
  /// next turns fit as well; the system's message and the last turn always stay. Throws Error if these alone
  /// do not fit, saying both numbers.
  ChatAnswer answer(Sampler& sampler, GenerateOptions options, const MakeContext& make_context = {});

  // For MakeContext:
  /// Most tokens that a context may have, so that it fits beside the system's message, the last turn and an
  /// answer of max_new_tokens as answer() reserves them: at most a third of the session's.
  int64_t room_for_context(int64_t max_new_tokens) const;
  /// The mean entropy, in nats, of the next token's distribution over the first `num_tokens` of the answer
  /// that the model would give now, greedily: how unsure it is of it. Nothing if `keep_going` said false.
  std::optional<double> uncertainty(int64_t num_tokens, const std::function<bool()>& keep_going);

  const Session& session() const { return session_; }
  /// Of the answer that is being made, or was last: how many tokens its prompt has.
  int64_t prompt_tokens() const { return prompt_tokens_; }

 private:
  /// Index of the message with which turn `number` begins: turn 0 behind the system's message, each other one
  /// with a message of the user; behind the last turn the number of messages.
  size_t turn(size_t number) const;
  size_t num_turns() const;
  /// The messages without the oldest `turns`, the context in the last of the user's, and the prompt that they
  /// become.
  OrderedJson messages_without(size_t turns) const;
  std::string prompt_text(size_t turns) const;
  std::vector<text::TokenId> prompt_without(size_t turns) const;
  /// The answer as a message's content: without the blanks at its beginning if the template writes them, as
  /// one does that ends a prompt in "Assistant:" and begins an answer with "Assistant: ".
  std::string content_of(const std::string& answer) const;
  std::vector<text::TokenId> fitting_prompt(int64_t max_new_tokens);
  /// Tokens that an answer's prompt leaves free.
  int64_t reserved(int64_t max_new_tokens) const;
  /// Keeps of the cache what the prompt begins with. Returns how many tokens that are.
  int64_t reuse_cache(const std::vector<text::TokenId>& prompt);

  const LanguageModel& model_;
  text::ChatTemplate template_;
  Session session_;
  OrderedJson messages_ = OrderedJson::array();
  std::string context_;  // of the answer that is being made
  size_t turns_left_out_ = 0;
  int64_t prompt_tokens_ = 0;
};

/// An array of messages from and to a JSON file. read_messages() throws Error naming file, message, field,
/// expected and found.
OrderedJson read_messages(const std::string& path);
void write_messages(const std::string& path, const OrderedJson& messages);
/// Throws Error, naming `source`, unless that is an array of objects with a role and a text, of which only
/// the first may be the system's.
void check_messages(const OrderedJson& messages, const std::string& source);

}  // namespace rotor::runtime
