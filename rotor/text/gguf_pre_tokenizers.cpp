// llama.cpp writes Llama 3's and Qwen 2's contractions as "(?:'[sS]|...)" where Hugging Face's files have
// "(?i:'s|...)", and leaves the last "|\s+" of GPT-2's pattern to code: the same pieces. Here they stand as
// in Hugging Face's files, since a definition is known by its pattern.
#include "rotor/text/gguf_pre_tokenizers.h"

#include <algorithm>
#include <array>

#include "rotor/text/byte_level_bpe.h"

namespace rotor::text {
namespace {

constexpr const char* kQwen2SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt2SplitPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// Of names that mean the same the first is written.
constexpr std::array<GgufPreTokenizer, 8> kPreTokenizers = {{
    {"llama-bpe", kLlama3SplitPattern, true},
    {"llama3", kLlama3SplitPattern, true},
    {"llama-v3", kLlama3SplitPattern, true},
    {"falcon3", kLlama3SplitPattern, true},
    {"smaug-bpe", kLlama3SplitPattern, false},
    {"dbrx", kLlama3SplitPattern, false},
    {"qwen2", kQwen2SplitPattern, false},
    {"gpt-2", kGpt2SplitPattern, false},
}};

}  // namespace

const GgufPreTokenizer* find_pre_tokenizer(std::string_view name) {
  const auto found = std::ranges::find(kPreTokenizers, name, &GgufPreTokenizer::name);
  return found == kPreTokenizers.end() ? nullptr : &*found;
}

const char* pre_tokenizer_name(const BpeDefinition& bpe) {
  const auto found = std::ranges::find_if(kPreTokenizers, [&](const GgufPreTokenizer& pre) {
    return pre.split_pattern == bpe.split_pattern && pre.ignore_merges == bpe.ignore_merges;
  });
  return found == kPreTokenizers.end() ? nullptr : found->name;
}

std::string pre_tokenizer_names() {
  std::string names;
  for (const GgufPreTokenizer& pre : kPreTokenizers)
    names += (names.empty() ? "" : ", ") + std::string(pre.name);
  return names;
}

}  // namespace rotor::text
