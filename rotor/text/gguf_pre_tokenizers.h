// The names that GGUF files give to split patterns of byte-level BPE (tokenizer.ggml.pre). A name stands for
// what llama.cpp does for it in llama-vocab.cpp: only those are known here whose regular expression there is
// one pattern.
#pragma once

#include <string>
#include <string_view>

#include "rotor/text/tokenizer_definition.h"

namespace rotor::text {

struct GgufPreTokenizer {
  const char* name;
  const char* split_pattern;
  bool ignore_merges;
};

/// nullptr for a name that is not known.
const GgufPreTokenizer* find_pre_tokenizer(std::string_view name);

/// The name under which llama.cpp cuts and merges as `bpe` does; nullptr if there is none.
const char* pre_tokenizer_name(const BpeDefinition& bpe);

/// All of them, for messages: "llama-bpe, smaug-bpe, ...".
std::string pre_tokenizer_names();

}  // namespace rotor::text
