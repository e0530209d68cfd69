// The whole prompt is made anew for each answer, as its template writes it; of its tokens only those are
// computed that the cache does not hold.
#include "runtime/chat/chat.h"

#include <algorithm>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/chat_messages.h"
#include "rotor/text/text_guard.h"

namespace rotor::runtime {
namespace {

bool is_of(const OrderedJson& message, const char* role) {
  return message.at("role").get<std::string>() == role;
}

OrderedJson message_of(const char* role, const std::string& text) {
  return {{"role", role}, {"content", text}};
}

}  // namespace

Chat::Chat(const LanguageModel& model, text::ChatTemplate chat_template, const SessionOptions& options)
    : model_(model), template_(std::move(chat_template)), session_(model.make_session(options)) {
  if (model.tokenizer() == nullptr) {
    fail(model.file().path(), ": expected a tokenizer in the model's file, to chat with it; found none");
  }
}

void Chat::set_messages(OrderedJson messages) {
  check_messages(messages, "messages");
  messages_ = std::move(messages);
  turns_left_out_ = 0;
}

void Chat::set_system(const std::string& text) {
  const bool has_one = !messages_.empty() && is_of(messages_[0], "system");
  if (has_one) messages_.erase(messages_.begin());
  if (!text.empty()) messages_.insert(messages_.begin(), message_of("system", text));
}

void Chat::reset() {
  const bool has_system = !messages_.empty() && is_of(messages_[0], "system");
  messages_.erase(messages_.begin() + (has_system ? 1 : 0), messages_.end());
  turns_left_out_ = 0;
}

bool Chat::take_back_answer() {
  if (messages_.empty() || !is_of(messages_.back(), "assistant")) return false;
  messages_.erase(messages_.end() - 1);
  return true;
}

ChatAnswer Chat::ask(const std::string& text, Sampler& sampler, const GenerateOptions& options,
                     const MakeContext& make_context) {
  messages_.push_back(message_of("user", text));
  try {
    return answer(sampler, options, make_context);
  } catch (...) {
    messages_.erase(messages_.end() - 1);
    throw;
  }
}

ChatAnswer Chat::answer(Sampler& sampler, GenerateOptions options, const MakeContext& make_context) {
  if (messages_.empty() || is_of(messages_.back(), "system")) {
    fail("chat: expected a message to answer, found none");
  }
  if (is_of(messages_.back(), "assistant")) {
    fail("chat: expected a message to answer, found the answer of the last one");
  }
  const size_t left_out_before = turns_left_out_;
  ChatAnswer answer;
  context_.clear();
  try {
    if (make_context) context_ = make_context();
    const std::vector<text::TokenId> prompt = fitting_prompt(options.max_new_tokens);
    answer.prompt_tokens = prompt_tokens_ = static_cast<int64_t>(prompt.size());
    answer.cached_tokens = reuse_cache(prompt);
    answer.left_out = static_cast<int64_t>(turn(turns_left_out_) - turn(0));
    options.cached = answer.cached_tokens;
    options.stop_tokens = model_.stop_tokens();
    options.continues_text = true;
    const TokenFeed feed{.feed = feed_of(session_).feed, .room = session_.context()};
    answer.generated = generate(feed, prompt, sampler, model_.tokenizer(), options);
  } catch (...) {
    turns_left_out_ = left_out_before;
    context_.clear();
    throw;
  }
  std::string content = content_of(answer.generated.text);
  context_.clear();
  messages_.push_back(message_of("assistant", content));
  return answer;
}

int64_t Chat::room_for_context(int64_t max_new_tokens) const {
  const int64_t context = session_.context();
  const auto least = static_cast<int64_t>(prompt_without(num_turns() - 1).size());
  return std::clamp<int64_t>(context - reserved(max_new_tokens) - least, 0, context / 3);
}

std::optional<double> Chat::uncertainty(int64_t num_tokens, const std::function<bool()>& keep_going) {
  const std::vector<text::TokenId> prompt = fitting_prompt(num_tokens);
  Sampler sampler({.temperature = 0.0}, model_.vocab_size());
  GenerateOptions options;
  options.max_new_tokens = num_tokens;
  options.stop_tokens = model_.stop_tokens();
  options.entropy = true;
  options.cached = reuse_cache(prompt);
  bool goes_on = true;
  const auto ask = [&] { return goes_on = !keep_going || keep_going(); };
  options.on_prompt = [&](int64_t) { return ask(); };
  options.on_token = [&](text::TokenId) { return ask(); };
  const TokenFeed feed{.feed = feed_of(session_).feed, .room = session_.context()};
  const GenerateResult result = generate(feed, prompt, sampler, nullptr, options);
  return goes_on ? result.entropy : std::nullopt;
}

size_t Chat::turn(size_t number) const {
  const size_t first = !messages_.empty() && is_of(messages_[0], "system") ? 1 : 0;
  size_t seen = 0;
  for (size_t i = first; i < messages_.size(); ++i) {
    if (i != first && is_of(messages_[i], "user") && ++seen == number) return i;
  }
  return number == 0 ? first : messages_.size();
}

size_t Chat::num_turns() const {
  size_t count = 0;
  while (turn(count) < messages_.size()) ++count;
  return count;
}

OrderedJson Chat::messages_without(size_t turns) const {
  OrderedJson seen = messages_;
  seen.erase(seen.begin() + static_cast<std::ptrdiff_t>(turn(0)),
             seen.begin() + static_cast<std::ptrdiff_t>(turn(turns)));
  text::put_before_question(seen, context_);
  return seen;
}

std::string Chat::prompt_text(size_t turns) const {
  text::ChatOptions options;
  options.add_generation_prompt = true;
  return template_.render(messages_without(turns), options);
}

std::vector<text::TokenId> Chat::prompt_without(size_t turns) const {
  OrderedJson seen = messages_without(turns);
  const text::TextGuard guard(*model_.tokenizer(), {&seen});
  guard.guard_messages(seen);
  text::ChatOptions options;
  options.add_generation_prompt = true;
  return guard.encode(template_.render(seen, options));
}

std::string Chat::content_of(const std::string& answer) const {
  const size_t begin = answer.find_first_not_of(" \n");
  if (begin == 0 || begin == std::string::npos) return answer;
  std::string stripped = answer.substr(begin);
  OrderedJson seen = messages_without(turns_left_out_);
  seen.push_back(message_of("assistant", stripped));
  return template_.render(seen).starts_with(prompt_text(turns_left_out_) + answer) ? stripped : answer;
}

int64_t Chat::reserved(int64_t max_new_tokens) const {
  const int64_t quarter = std::max<int64_t>(session_.context() / 4, 1);
  return max_new_tokens < 0 ? quarter : std::min(max_new_tokens, quarter);
}

std::vector<text::TokenId> Chat::fitting_prompt(int64_t max_new_tokens) {
  const int64_t context = session_.context();
  const auto size_of = [](const auto& ids) { return static_cast<int64_t>(ids.size()); };
  std::vector<text::TokenId> prompt = prompt_without(turns_left_out_);
  if (size_of(prompt) + reserved(max_new_tokens) <= context) return prompt;
  const size_t last = num_turns() - 1;
  while (size_of(prompt) > context / 2 && turns_left_out_ < last) prompt = prompt_without(++turns_left_out_);
  if (size_of(prompt) >= context) {
    fail("chat: the last message and that of the system take ", prompt.size(), " tokens, the context has ",
         context, ": shorten them");
  }
  return prompt;
}

int64_t Chat::reuse_cache(const std::vector<text::TokenId>& prompt) {
  const std::span<const text::TokenId> cached = session_.tokens();
  const auto same = std::ranges::mismatch(cached, prompt).in1 - cached.begin();
  // The last token is always computed: its logits are wanted.
  const auto kept = std::min<int64_t>(same, static_cast<int64_t>(prompt.size()) - 1);
  session_.rewind(kept);
  return kept;
}

}  // namespace rotor::runtime
