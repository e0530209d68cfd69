// The whole text is encoded at once, so that tokens are those of inference; where an answer begins among them
// is found by encoding the text before it.
#include "train/data/chat_encoder.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::train {
namespace {

using text::SpecialTokens;
using text::TokenId;

int64_t count_assistant(const OrderedJson& messages) {
  return std::ranges::count_if(messages, [](const auto& message) { return message["role"] == "assistant"; });
}

OrderedJson joined(const OrderedJson& first, const OrderedJson& second) {
  OrderedJson all = first;
  all.insert(all.end(), second.begin(), second.end());
  return all;
}

/// Where byte `edge` of a text lies among its tokens: those before `whole` lie before it, and `cut` says that
/// the one behind them reaches across.
struct Edge {
  size_t whole = 0;
  bool cut = false;
};

Edge find_edge(const text::Tokenizer& tokenizer, const std::vector<TokenId>& tokens,
               std::string_view before) {
  const std::vector<TokenId> prefix = tokenizer.encode(before, SpecialTokens::parse);
  const auto [differs, unused] = std::ranges::mismatch(prefix, tokens);
  return {static_cast<size_t>(differs - prefix.begin()), differs != prefix.end()};
}

}  // namespace

const char* const kPlainChatTemplate =
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}"
    "Assistant:{% generation %} {{ message['content'] | trim }}{{ eos_token }}{% endgeneration %}{{ '\\n' }}"
    "{% elif message['role'] == 'user' %}User: {{ message['content'] | trim }}\n"
    "{% elif message['role'] == 'system' %}{{ message['content'] | trim }}\n"
    "{% else %}{{ raise_exception('this template knows system, user and assistant') }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}";

int64_t EncodedChat::num_targets() const {
  return tokens.empty() ? 0 : std::count(targets.begin() + 1, targets.end(), true);
}

ChatEncoder::ChatEncoder(const text::Tokenizer& tokenizer, std::optional<text::ChatTemplate> chat_template,
                         std::optional<TokenId> bos, std::optional<TokenId> eos)
    : tokenizer_(&tokenizer), template_(std::move(chat_template)), bos_(bos), eos_(eos) {}

EncodedChat ChatEncoder::encode(const ChatRecord& record) const {
  return record.is_text() ? encode_text(record.text) : encode_messages(record.messages, record.tools, 0);
}

std::pair<EncodedChat, EncodedChat> ChatEncoder::encode(const PreferenceRecord& record) const {
  const auto before = static_cast<size_t>(count_assistant(record.prompt));
  return {encode_messages(joined(record.prompt, record.chosen), nullptr, before),
          encode_messages(joined(record.prompt, record.rejected), nullptr, before)};
}

EncodedChat ChatEncoder::encode_messages(const OrderedJson& messages, const OrderedJson& tools,
                                         size_t first_answer) const {
  if (!template_) {
    fail("the model has no chat template: set data.chat_template to plain, or to the file of one");
  }
  text::ChatOptions options;
  options.tools = tools;
  const text::ChatText chat = template_->render_with_answers(messages, options);
  EncodedChat encoded;
  encoded.tokens = tokenizer_->encode(chat.text, SpecialTokens::parse);
  encoded.targets.resize(encoded.tokens.size());
  const std::string_view text = chat.text;
  for (size_t i = first_answer; i < chat.answers.size(); ++i) {
    const Edge begin = find_edge(*tokenizer_, encoded.tokens, text.substr(0, chat.answers[i].begin));
    const Edge end = find_edge(*tokenizer_, encoded.tokens, text.substr(0, chat.answers[i].end));
    const size_t behind = std::min(end.whole + (end.cut ? 1 : 0), encoded.tokens.size());
    for (size_t t = begin.whole; t < behind; ++t) encoded.targets[t] = true;
  }
  return encoded;
}

EncodedChat ChatEncoder::encode_text(const std::string& text) const {
  EncodedChat encoded;
  if (bos_) encoded.tokens.push_back(*bos_);
  const std::vector<TokenId> tokens = tokenizer_->encode(text, SpecialTokens::as_text);
  encoded.tokens.insert(encoded.tokens.end(), tokens.begin(), tokens.end());
  if (eos_) encoded.tokens.push_back(*eos_);
  encoded.targets.assign(encoded.tokens.size(), true);
  return encoded;
}

}  // namespace rotor::train
