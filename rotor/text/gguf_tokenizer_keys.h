// The keys of a tokenizer in GGUF files, and the types of its tokens (llama.cpp, gguf-py/gguf/constants.py).
#pragma once

#include <cstdint>
#include <string>

#include "rotor/core/error.h"

namespace rotor::text {

namespace gguf_key {
inline constexpr const char* kModel = "tokenizer.ggml.model";
inline constexpr const char* kPre = "tokenizer.ggml.pre";
inline constexpr const char* kTokens = "tokenizer.ggml.tokens";
inline constexpr const char* kScores = "tokenizer.ggml.scores";
inline constexpr const char* kTypes = "tokenizer.ggml.token_type";
inline constexpr const char* kMerges = "tokenizer.ggml.merges";
inline constexpr const char* kUnknownId = "tokenizer.ggml.unknown_token_id";
inline constexpr const char* kBosId = "tokenizer.ggml.bos_token_id";
inline constexpr const char* kEosId = "tokenizer.ggml.eos_token_id";
inline constexpr const char* kEndOfTurnId = "tokenizer.ggml.eot_token_id";
inline constexpr const char* kPaddingId = "tokenizer.ggml.padding_token_id";
inline constexpr const char* kAddBos = "tokenizer.ggml.add_bos_token";
inline constexpr const char* kAddSpacePrefix = "tokenizer.ggml.add_space_prefix";
inline constexpr const char* kChatTemplate = "tokenizer.chat_template";  // and, with "." and a name, others:
inline constexpr const char* kChatTemplateNames = "tokenizer.chat_templates";
}  // namespace gguf_key

enum GgufTokenType : int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,
  kUserDefinedToken = 4,
  kUnusedToken = 5,
  kByteToken = 6
};

/// What converters write for an id that the tokenizer does not have.
inline std::string padding_token(size_t id) {
  return cat("[PAD", id, "]");
}

}  // namespace rotor::text
