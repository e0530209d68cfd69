// Chat templates, which come with models: a hostile one throws Error or comes to an end, with little memory.
#include "rotor/text/chat_template.h"
#include "rotor/text/jinja/python_text.h"
#include "tests/fuzz/harness.h"

namespace {

/// A chat with everything that templates look at.
const rotor::OrderedJson& chat() {
  static const rotor::OrderedJson kChat = rotor::parse_ordered_json(
      R"([{"role": "system", "content": "Be \u00e4 brief"}, {"role": "user", "content": "Hi <b>\n"},
          {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefghi", "type": "function",
           "function": {"name": "f", "arguments": {"x": [1, 2.5, null, true], "items": "y"}}}]},
          {"role": "tool", "content": "3", "tool_call_id": "abcdefghi"},
          {"role": "assistant", "content": "Done", "reasoning": "so"}, {"role": "user", "content": "ok"}])",
      "chat");
  return kChat;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rotor;
  return fuzz::run(size, [&] {
    const text::ChatTemplate chat_template(fuzz::text_of(data, size), "fuzz",
                                           {{"bos_token", "<s>"}, {"eos_token", "</s>"}});
    text::ChatOptions options;
    options.add_generation_prompt = true;
    options.tools = rotor::OrderedJson::array({{{"type", "function"}, {"function", {{"name", "f"}}}}});
    options.max_work = size_t{1} << 21;
    options.now = std::chrono::system_clock::time_point();
    fuzz::attempt([&] {
      const std::string text = chat_template.render(chat(), options);
      fuzz::require(text::jinja::is_valid_utf8(text), "the text is not UTF-8");
      fuzz::require(chat_template.render(chat(), options) == text, "the same chat gives another text");
    });
    fuzz::attempt([&] {
      options.add_generation_prompt = false;
      const text::ChatText text = chat_template.render_with_answers(chat(), options);
      for (const text::Span& span : text.answers) {
        fuzz::require(span.begin <= span.end && span.end <= text.text.size(),
                      "an answer is outside of the text");
      }
    });
  });
}
