// Chat templates: from the messages of a chat to the text that a model was trained on. They are Jinja
// programs, run as Hugging Face's apply_chat_template runs them (transformers 5.23, Jinja2 3.1), and limited,
// since they come with models that nobody here trusts. No tokens are made here.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/jinja/evaluator.h"

namespace rotor::text {

/// Bytes [begin, end) of a text.
using jinja::Span;

struct ChatOptions {
  bool add_generation_prompt = false;   ///< end with what begins an answer of the assistant
  bool continue_final_message = false;  ///< end with the text of the last message, which is to go on
  OrderedJson tools = {};               ///< an array of JSON schemas, or null
  OrderedJson documents = {};           ///< an array of objects, or null
  OrderedJson variables =
      {};                 ///< an object of further variables, which go before the special tokens; or null
  std::string name = {};  ///< of the template, where there are several; "": as the chat needs
  std::optional<std::chrono::system_clock::time_point> now = {};  ///< for templates that write a date
  size_t max_work = jinja::kMaxWork;
};

struct ChatText {
  std::string text;
  std::vector<Span> answers;  ///< what the assistant says, in order
};

/// Immutable: several threads may use one at once.
class ChatTemplate {
 public:
  /// `text`: a template, or a JSON array of {"name": ..., "template": ...}. `source` names it in errors.
  /// `special_tokens`: variables such as bos_token, without those that the tokenizer has not. Throws Error
  /// naming source, line, expected and found.
  explicit ChatTemplate(std::string_view text, std::string source = "chat template",
                        std::map<std::string, std::string> special_tokens = {});

  /// The text of a chat. `messages`: an array of objects with `role` and `content` (a text, or an array of
  /// {"type": "text", "text": ...}), and what else the template knows (tool_calls, ...). Throws Error naming
  /// message, field, expected and found, or source and line for what the template does wrong or refuses.
  std::string render(const OrderedJson& messages, const ChatOptions& options = {}) const;

  /// The same, and where the assistant's answers are: by the template's {% generation %} tags, or else what
  /// each message of the assistant adds to the text up to the generation prompt before it. Throws Error also
  /// if the template has no tags and writes a message otherwise when others follow it.
  ChatText render_with_answers(const OrderedJson& messages, const ChatOptions& options = {}) const;

  /// Whether it marks the assistant's answers with {% generation %}.
  bool has_generation_tags(const ChatOptions& options = {}) const;
  /// The names of its templates: "default" if there is only one.
  std::vector<std::string> names() const;

 private:
  struct Part {
    std::string text;
    jinja::ParsedTemplate parsed;
  };
  const Part& choose(const ChatOptions& options) const;
  jinja::Rendered run(const Part& part, const OrderedJson& messages, const ChatOptions& options,
                      bool wants_generation) const;

  std::string source_;
  std::map<std::string, std::string> special_tokens_;
  std::shared_ptr<const std::map<std::string, Part>> parts_;
};

/// The templates in `text`, by name: what is no JSON array of named templates is one named "default".
/// Throws Error naming `source` for a name that comes twice.
std::vector<std::pair<std::string, std::string>> named_templates(std::string_view text,
                                                                 const std::string& source);
/// The text of several, as named_templates() reads it; that of one "default" alone is the template.
std::string join_templates(const std::vector<std::pair<std::string, std::string>>& templates);
/// The same `text` for programs that keep one template here and others elsewhere: the default one, or else
/// the first.
std::string default_template(std::string_view text);

}  // namespace rotor::text
