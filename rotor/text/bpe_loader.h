// Reads byte-level BPE from the two files in which it is published.
#pragma once

#include <string>
#include <string_view>

#include "rotor/formats/json.h"
#include "rotor/text/byte_level_bpe.h"

namespace rotor::text {

/// A Hugging Face tokenizer.json whose model is BPE and whose pre-tokenizer is a split pattern and bytes, as
/// Llama 3's, and whose normalizer is NFC, as Qwen2's, or none. Throws Error naming the file and what it
/// holds that is not known.
BpeDefinition read_tokenizer_json(const Json& json, const std::string& path);

/// tiktoken ranks: a line a token, its bytes in base64, a space, its rank, which is its id. With 128,000 of
/// them the 256 special tokens of Llama 3 follow. Throws Error naming file and line.
BpeDefinition read_tiktoken(std::string_view contents, const std::string& path);

}  // namespace rotor::text
