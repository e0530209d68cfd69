// A small random model that can be chatted with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rotor/text/tokenizer.h"

namespace rotor::test {

/// "r:CONTENT<|end|>" for each message, r being the first letter of its role.
inline constexpr const char* kChatTemplate =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

/// A .rotor file of random weights with the tokenizer small_bpe(), whose special token <|end|> is 263, and a
/// template, "": none. `context`: its max_position_embeddings.
void write_chat_model(const std::string& path, int64_t context,
                      const std::string& chat_template = kChatTemplate,
                      const std::vector<text::TokenId>& stop_tokens = {});
/// The same with another tokenizer.
void write_chat_model(const std::string& path, int64_t context, const std::string& chat_template,
                      const text::Tokenizer& tokenizer, const std::vector<text::TokenId>& stop_tokens = {});

}  // namespace rotor::test
