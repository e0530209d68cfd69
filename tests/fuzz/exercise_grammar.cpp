// A vocabulary of all bytes and a few longer tokens.
#include "tests/fuzz/exercise_grammar.h"

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "runtime/grammar/grammar_constraint.h"
#include "tests/fuzz/harness.h"

namespace rotor::fuzz {
namespace {

constexpr size_t kTokens = 24;
constexpr text::TokenId kEnd = 256;

std::shared_ptr<const runtime::grammar::TokenTrie> vocabulary() {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.emplace_back(1, static_cast<char>(byte));
  tokens.emplace_back();
  for (const char* token :
       {"{\"", "\":", "ab", "null", "],[", "\", \"", "12", "\xC3\xA9\xC3", "\n  ", "}}"}) {
    tokens.emplace_back(token);
  }
  return std::make_shared<const runtime::grammar::TokenTrie>(tokens);
}

}  // namespace

void exercise_grammar(const std::shared_ptr<const runtime::grammar::Grammar>& grammar,
                      std::span<const uint8_t> choices) {
  static const auto kTrie = vocabulary();
  runtime::grammar::GrammarConstraint constraint(grammar, kTrie, {kEnd});
  std::vector<float> logits;
  for (const uint8_t choice : choices.first(std::min(choices.size(), kTokens))) {
    logits.assign(static_cast<size_t>(kTrie->vocab_size()), 0.0F);
    constraint.restrict(logits);
    std::vector<text::TokenId> allowed;
    for (text::TokenId id = 0; id < kTrie->vocab_size(); ++id) {
      const bool is_allowed = logits[static_cast<size_t>(id)] == 0.0F;
      require(constraint.allows(id) == is_allowed, "restrict() and allows() differ");
      if (is_allowed) allowed.push_back(id);
    }
    require(!allowed.empty(), "nothing may come");
    require(constraint.complete() == constraint.allows(kEnd), "a text ends where it is not whole");
    const text::TokenId id = allowed[choice % allowed.size()];
    if (id == kEnd) return;
    constraint.accept(id);
    require(constraint.num_bytes() < size_t{24} << 20, "more memory than is allowed");
  }
}

}  // namespace rotor::fuzz
