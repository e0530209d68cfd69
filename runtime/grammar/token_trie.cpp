// Built from the sorted tokens: each shares with the one before it what their beginnings have in common.
#include "runtime/grammar/token_trie.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <variant>

namespace rotor::runtime::grammar {
namespace {

/// Longer ones are left out: depths have 16 bits, and nothing is lost, as shorter ones spell the same.
constexpr size_t kLongestToken = 4096;

std::vector<std::string> tokens_of(const text::Tokenizer& tokenizer) {
  std::vector<std::string> tokens(static_cast<size_t>(tokenizer.vocab_size()));
  for (size_t id = 0; id < tokens.size(); ++id) {
    tokens[id] = tokenizer.token_bytes(static_cast<text::TokenId>(id), false);
  }
  // Of byte-level BPE, control tokens have the bytes of their names. SentencePiece's have none.
  const text::TokenizerDefinition definition = tokenizer.definition();
  if (const auto* bpe = std::get_if<text::BpeDefinition>(&definition)) {
    for (const auto& [name, id] : bpe->specials) tokens[static_cast<size_t>(id)].clear();
  }
  return tokens;
}

}  // namespace

TokenTrie::TokenTrie(const text::Tokenizer& tokenizer) {
  build(tokens_of(tokenizer));
}

TokenTrie::TokenTrie(const std::vector<std::string>& tokens) {
  build(tokens);
}

void TokenTrie::build(const std::vector<std::string>& tokens) {
  offsets_.push_back(0);
  for (const std::string& token : tokens) {
    if (token.size() <= kLongestToken) bytes_ += token;
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  std::vector<text::TokenId> order(tokens.size());
  std::iota(order.begin(), order.end(), 0);
  std::erase_if(order, [&](text::TokenId id) { return bytes(id).empty(); });
  std::sort(order.begin(), order.end(), [&](text::TokenId a, text::TokenId b) {
    const int comparison = bytes(a).compare(bytes(b));
    return comparison != 0 ? comparison < 0 : a < b;
  });
  std::vector<size_t> path;  // nodes of the token before
  std::string_view before;
  const auto leave = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back())
      nodes_[path.back()].end = static_cast<uint32_t>(nodes_.size());
  };
  for (const text::TokenId id : order) {
    const std::string_view token = bytes(id);
    const auto shared = std::ranges::mismatch(token, before).in1 - token.begin();
    leave(static_cast<size_t>(shared));
    for (size_t depth = path.size(); depth < token.size(); ++depth) {
      path.push_back(nodes_.size());
      nodes_.push_back({.end = 0,
                        .tokens_begin = static_cast<uint32_t>(tokens_.size()),
                        .depth = static_cast<uint16_t>(depth),
                        .byte = static_cast<uint8_t>(token[depth])});
    }
    tokens_.push_back(id);
    longest_ = std::max(longest_, token.size());
    before = token;
  }
  leave(0);
  nodes_.push_back({.end = 0, .tokens_begin = static_cast<uint32_t>(tokens_.size()), .depth = 0, .byte = 0});
}

}  // namespace rotor::runtime::grammar
