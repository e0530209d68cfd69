// Tokens as letters, their types, and merges as two tokens with a space between.
#include "rotor/text/gguf_tokenizer.h"

#include <algorithm>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/text/bpe_loader.h"

namespace rotor::text {
namespace {

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kPre = "tokenizer.ggml.pre";
constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kTypes = "tokenizer.ggml.token_type";
constexpr const char* kMerges = "tokenizer.ggml.merges";

constexpr int64_t kControl = 3;
constexpr int64_t kUserDefined = 4;
constexpr int64_t kUnused = 5;

/// Files of BitNet 2B4T name no pre-tokenizer; their vocabulary is Llama 3's.
bool is_llama3_vocabulary(const std::vector<std::string_view>& tokens) {
  return tokens.size() == 128256 && tokens[128000] == "<|begin_of_text|>";
}

BpeDefinition read_definition(const GgufFile& file) {
  const auto tokens = file.texts(kTokens);
  const auto types = file.has(kTypes) ? file.integers(kTypes) : std::vector<int64_t>(tokens.size(), 1);
  if (types.size() != tokens.size()) {
    fail(file.path(), ": key \"", kTypes, "\": expected ", tokens.size(), " types, found ", types.size());
  }
  BpeDefinition definition;
  definition.split_pattern = kLlama3SplitPattern;
  std::unordered_map<std::string_view, TokenId> ids;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    if (!ids.emplace(tokens[i], id).second) {
      fail(file.path(), ": key \"", kTokens, "\": token \"", tokens[i], "\" stands twice");
    }
    if (types[i] == kControl || types[i] == kUserDefined) {
      definition.specials.emplace_back(tokens[i], id);
      definition.tokens.emplace_back(tokens[i]);
    } else {
      definition.tokens.push_back(types[i] == kUnused ? "" : bytes_of_letters(tokens[i], file.path()));
    }
  }
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(token);
    if (found == ids.end()) fail(file.path(), ": key \"", kMerges, "\": \"", token, "\" is no token");
    return found->second;
  };
  for (const std::string_view merge : file.texts(kMerges)) {
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos) {
      fail(file.path(), ": key \"", kMerges, "\": expected two tokens, found \"", merge, "\"");
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    definition.merges.push_back({id_of(left), id_of(right), id_of(cat(left, right))});
  }
  return definition;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const GgufFile& file) {
  if (!file.has(kModel)) return nullptr;
  const std::string_view model = file.text(kModel);
  if (model != "gpt2") {
    fail(file.path(), ": key \"", kModel, "\": expected gpt2 (byte-level BPE), found \"", model, "\"");
  }
  const std::string pre(file.has(kPre) ? file.text(kPre) : "");
  const bool is_llama3 = pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3";
  if (!is_llama3 && !(pre.empty() && is_llama3_vocabulary(file.texts(kTokens)))) {
    fail(file.path(), ": key \"", kPre, "\": expected llama-bpe, found ",
         pre.empty() ? "none" : cat('"', pre, '"'));
  }
  return std::make_unique<ByteLevelBpe>(read_definition(file));
}

}  // namespace rotor::text
