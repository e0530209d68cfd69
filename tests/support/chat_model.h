// A small random model that can be chatted with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rotor::test {

/// "r:CONTENT<|end|>" for each message, r being the first letter of its role.
inline constexpr const char* kChatTemplate =
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}";

/// A .rotor file of random weights with the tokenizer small_bpe() and that template. `context`: its
/// max_position_embeddings.
/// The special token <|end|> is 263.
void write_chat_model(const std::string& path, int64_t context, const std::vector<int32_t>& stop_tokens = {});

}  // namespace rotor::test
