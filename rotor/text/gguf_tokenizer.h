// The tokenizer that a GGUF file holds in its metadata (keys tokenizer.ggml.*; llama.cpp, llama-vocab.cpp).
#pragma once

#include <memory>

#include "rotor/formats/gguf.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// Byte-level BPE with Llama 3's split pattern ("gpt2" with pre-tokenizer llama-bpe, which files of BitNet
/// 2B4T leave out). nullptr if the file holds none. Throws Error naming the file, key, expected and found for
/// another kind.
std::unique_ptr<Tokenizer> tokenizer_of(const GgufFile& file);

}  // namespace rotor::text
