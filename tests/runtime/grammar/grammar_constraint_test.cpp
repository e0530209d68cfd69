// Texts within a grammar, token by token: what is allowed is what the grammar says of the bytes, it can
// always be gone on with, and the memory for it is bounded. And the sampler under a constraint: exactly the
// distribution that it would have over the allowed tokens.
#include "runtime/grammar/grammar_constraint.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "rotor/text/sentencepiece.h"
#include "rotor/text/stream_decoder.h"
#include "runtime/engine/generate.h"
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/json_schema.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::runtime::grammar {
namespace {

using test::expect_error;
using text::TokenId;

constexpr float kInf = std::numeric_limits<float>::infinity();

std::shared_ptr<const TokenTrie> bpe_trie() {
  return std::make_shared<const TokenTrie>(text::ByteLevelBpe(test::small_bpe()));
}

std::set<TokenId> allowed(GrammarConstraint& constraint, const TokenTrie& trie) {
  std::vector<float> logits(static_cast<size_t>(trie.vocab_size()));
  constraint.restrict(logits);
  std::set<TokenId> ids;
  for (TokenId id = 0; id < trie.vocab_size(); ++id) {
    const bool restricted = logits[static_cast<size_t>(id)] == -kInf;
    EXPECT_EQ(constraint.allows(id), !restricted) << id;
    if (!restricted) ids.insert(id);
  }
  return ids;
}

TEST(TokenTrie, HoldsEachTokenUnderItsBytes) {
  const std::vector<std::string> tokens = {"b", "", "ab", "a", "abc", "b", "\xFF", "ba"};
  const TokenTrie trie(tokens);
  std::map<TokenId, std::string> found;
  std::string path;
  for (size_t i = 0; i + 1 < trie.nodes().size(); ++i) {
    const TokenTrie::Node& node = trie.nodes()[i];
    path.resize(node.depth);
    path += static_cast<char>(node.byte);
    for (uint32_t t = node.tokens_begin; t < trie.nodes()[i + 1].tokens_begin; ++t)
      found[trie.tokens()[t]] = path;
    for (size_t j = i + 1; j < node.end; ++j) EXPECT_GT(trie.nodes()[j].depth, node.depth);
    if (node.end + 1 < trie.nodes().size()) {
      EXPECT_LE(trie.nodes()[node.end].depth, node.depth);
    }
  }
  for (TokenId id = 0; id < trie.vocab_size(); ++id) {
    EXPECT_EQ(found[id], tokens[static_cast<size_t>(id)]);
    EXPECT_EQ(trie.bytes(id), tokens[static_cast<size_t>(id)]);
  }
  EXPECT_EQ(trie.longest_token(), 3U);
}

TEST(GrammarConstraint, TokensCrossRulesAndHoldPartsOfCharacters) {
  const auto trie = bpe_trie();
  const TokenId end = static_cast<TokenId>(trie->vocab_size() - 1);
  ASSERT_EQ(trie->bytes(end), "");  // <|end|>: a control token has no bytes here
  GrammarConstraint constraint(parse_gbnf("root ::= \"a\" rest?\nrest ::= \"b\" \"c\" | \"é\"", "g"), trie,
                               {end});
  const TokenId ab = 256;
  const TokenId abc = 258;
  ASSERT_EQ(trie->bytes(ab), "ab");
  ASSERT_EQ(trie->bytes(abc), "abc");
  EXPECT_EQ(allowed(constraint, *trie), (std::set<TokenId>{'a', ab, abc}));
  constraint.accept('a');
  EXPECT_EQ(allowed(constraint, *trie), (std::set<TokenId>{'b', 257, 0xC3, end}));  // 257: "bc"
  EXPECT_TRUE(constraint.complete());
  constraint.accept(0xC3);
  EXPECT_FALSE(constraint.complete());
  EXPECT_EQ(allowed(constraint, *trie), (std::set<TokenId>{0xA9}));
  expect_error([&] { constraint.accept('a'); }, {"97"});
  constraint.accept(0xA9);
  EXPECT_EQ(allowed(constraint, *trie), (std::set<TokenId>{end}));
  constraint.accept(end);
  EXPECT_EQ(allowed(constraint, *trie), (std::set<TokenId>{end}));
}

TEST(GrammarConstraint, SaysWhatItLacks) {
  const auto grammar = parse_gbnf("root ::= \"xyz\"", "g");
  const auto trie = std::make_shared<const TokenTrie>(std::vector<std::string>{"x", "", "xy"});
  expect_error([&] { GrammarConstraint(grammar, trie, {}); }, {"ends a text"});
  expect_error([&] { GrammarConstraint(grammar, trie, {3, -1}); }, {"ends a text"});
  GrammarConstraint constraint(grammar, trie, {1});
  constraint.accept(2);
  std::vector<float> logits(3);
  expect_error([&] { constraint.restrict(logits); }, {"no token of the vocabulary"});
  EXPECT_THROW(constraint.restrict(logits), ConstraintError);
}

/// With and without byte fallback's pieces, spaces within tokens.
TEST(GrammarConstraint, SentencePieceTokensAreFollowedByTheirBytes) {
  const auto tokenizer = text::make_sentencepiece_tokenizer(test::small_sentencepiece(), "m");
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  GrammarConstraint constraint(parse_gbnf("root ::= [abc é]*", "g"), trie, {2});
  for (TokenId id = 0; id < trie->vocab_size(); ++id) {
    const std::string bytes = tokenizer->token_bytes(id, false);
    const bool plain = !bytes.empty() && bytes.find_first_not_of("abc ") == std::string::npos;
    EXPECT_EQ(constraint.allows(id), plain || bytes == "\xC3" || id == 2) << id << " " << bytes;
  }
}

/// Random walks through hard grammars: allows() and restrict() agree, never is nothing allowed, and the text
/// is matched at its end.
TEST(GrammarConstraint, WhatIsAllowedCanBeFinished) {
  const auto trie = bpe_trie();
  const TokenId end = static_cast<TokenId>(trie->vocab_size() - 1);
  test::Random random(3);
  for (const char* text : {"root ::= (\"a\" root \"b\" | \"a\" root \"c\" | \"\")",
                           "root ::= ([ab] | \"abc\" | \"bca\"){3,40} \"c\"",
                           "root ::= x{2} y*\nx ::= \"a\"* \"b\"\ny ::= \"a\" y \"a\" | \"c\"",
                           "root ::= [^a]{1,20} \"a\"", "root ::= \"[\" root* \"]\" | \"a\""}) {
    const auto grammar = parse_gbnf(text, "g");
    for (int walk = 0; walk < 20; ++walk) {
      GrammarConstraint constraint(grammar, trie, {end});
      std::string result;
      for (int step = 0; step < 400; ++step) {
        std::vector<TokenId> ids;
        for (const TokenId id : allowed(constraint, *trie)) ids.push_back(id);
        ASSERT_FALSE(ids.empty()) << text;
        // Ends are preferred, late in a walk, so that it comes to one.
        TokenId id = ids[static_cast<size_t>(random.integer(0, std::ssize(ids) - 1))];
        if (step > 60 && constraint.complete()) id = end;
        if (step > 60 && constraint.allows(']')) id = ']';
        constraint.accept(id);
        if (id == end) {
          EXPECT_TRUE(grammar->matches(result)) << text << ": " << result;
          break;
        }
        result += trie->bytes(id);
      }
    }
  }
}

TEST(GrammarConstraint, MemoryIsBounded) {
  const auto trie = bpe_trie();
  // Each count and depth is a state of its own.
  const auto grammar = parse_gbnf("root ::= (\"a\" | \"(\" root \")\" | [ab] \"b\"?){0,100000}", "g");
  GrammarConstraint constraint(grammar, trie, {static_cast<TokenId>(trie->vocab_size() - 1)});
  std::vector<float> logits(static_cast<size_t>(trie->vocab_size()));
  size_t most = 0;
  for (int step = 0; step < 20000; ++step) {
    const bool opens = step % 97 == 5 && constraint.allows('(');
    constraint.accept(opens ? '(' : constraint.allows('a') ? 'a' : ')');
    constraint.restrict(logits);
    most = std::max(most, constraint.num_bytes());
  }
  EXPECT_GT(most, size_t{4} << 20);  // it came to the bound
  EXPECT_LT(most, size_t{24} << 20);
}

/// A rule that could be each of two, `levels` deep: twice as many ways at once with each level.
std::string doubling(int levels) {
  std::string text = "root ::= (\"x\" r0)*\n";
  for (int i = 0; i < levels; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    text += "r" + std::to_string(i) + " ::= " + next + " \"a\" | " + next + " \"b\"\n";
  }
  return text + "r" + std::to_string(levels) + " ::= \"y\"";
}

/// One text must not hold up those that it shares a batch with, at one token. It is
/// counted, not timed: 2^16 positions take some hundredths of a second.
TEST(GrammarConstraint, HostileGrammarsAreGivenUpSoon) {
  const auto trie = bpe_trie();
  const TokenId end = static_cast<TokenId>(trie->vocab_size() - 1);
  std::vector<float> logits(static_cast<size_t>(trie->vocab_size()));
  constexpr uint64_t kMaxMaskWork = uint64_t{1} << 16;
  for (const int levels : {17, 19, 25}) {
    for (const bool by_restrict : {true, false}) {
      GrammarConstraint constraint(parse_gbnf(doubling(levels), "g"), trie, {end});
      EXPECT_THROW(by_restrict ? constraint.restrict(logits) : constraint.accept('x'), ConstraintError);
      EXPECT_LE(constraint.work(), kMaxMaskWork + 1000) << levels;
    }
  }
}

/// What it takes to follow JSON is far from the limits, and does not add up in a long text.
TEST(GrammarConstraint, LongTextsOfJsonAreWithinTheWork) {
  const auto trie = bpe_trie();
  GrammarConstraint constraint(any_json_object(), trie, {static_cast<TokenId>(trie->vocab_size() - 1)});
  std::vector<float> logits(static_cast<size_t>(trie->vocab_size()));
  const std::string member = R"("key":[{"a":"bc","d":[1,-2.5e3,null,true]},{"b":{}}],)";
  std::string text = "{";
  while (text.size() < 50000) text += member;
  for (const char c : text) {
    constraint.restrict(logits);
    ASSERT_EQ(logits[static_cast<uint8_t>(c)], 0.0F) << c;
    std::ranges::fill(logits, 0.0F);
    constraint.accept(static_cast<uint8_t>(c));
  }
  EXPECT_LT(constraint.work(), uint64_t{1} << 18);
}

/// Allows a set of tokens that never changes, and counts what it is asked.
class FixedConstraint : public TokenConstraint {
 public:
  explicit FixedConstraint(std::set<TokenId> ids) : ids_(std::move(ids)) {}
  bool allows(TokenId id) override { return ids_.contains(id); }
  void restrict(std::span<float> logits) override {
    ++restricted;
    for (size_t id = 0; id < logits.size(); ++id) {
      if (!ids_.contains(static_cast<TokenId>(id))) logits[id] = -kInf;
    }
  }
  void accept(TokenId id) override { accepted.push_back(id); }

  int restricted = 0;
  std::vector<TokenId> accepted;

 private:
  std::set<TokenId> ids_;
};

/// Whatever the stages, tokens are drawn from what candidates() says, which is restricted first.
TEST(ConstrainedSampler, DrawsFromTheRestrictedDistribution) {
  const std::vector<float> logits = {2.0F, 1.8F, 1.5F, 1.0F, 0.9F, 0.5F, 0.0F, -1.0F};
  const SamplerOptions plain{.temperature = 1.2, .top_k = 0, .top_p = 1.0, .min_p = 0.0};
  std::vector<SamplerOptions> cases(6, plain);
  cases[1].top_k = 3;
  cases[2].top_p = 0.6;
  cases[3].min_p = 0.5;
  cases[4].typical_p = 0.7;
  cases[5] = {.temperature = 0.8, .top_k = 4, .top_p = 0.9, .min_p = 0.2};
  for (const SamplerOptions& options : cases) {
    for (const std::set<TokenId>& ids : {std::set<TokenId>{1, 3, 5, 6, 7}, {0, 1, 2, 3, 4, 5}, {7}, {5, 6}}) {
      Sampler sampler(options, 8);
      sampler.set_constraint(std::make_shared<FixedConstraint>(ids));
      std::map<TokenId, double> expected;
      for (const Candidate& c : sampler.candidates(logits)) expected[c.id] = c.probability;
      std::vector<float> restricted = logits;
      FixedConstraint(ids).restrict(restricted);
      Sampler reference(options, 8);
      std::map<TokenId, double> from_restricted;
      for (const Candidate& c : reference.candidates(restricted)) from_restricted[c.id] = c.probability;
      EXPECT_EQ(expected, from_restricted);
      constexpr int kDraws = 20000;
      std::map<TokenId, int> counts;
      for (int i = 0; i < kDraws; ++i) ++counts[sampler.sample(logits)];
      for (const auto& [id, count] : counts) {
        ASSERT_TRUE(expected.contains(id)) << id;
        // Five standard deviations of a binomial count, at most 0.5 / sqrt(n).
        EXPECT_NEAR(static_cast<double>(count) / kDraws, expected[id], 2.5 / std::sqrt(kDraws)) << id;
      }
    }
  }
}

TEST(ConstrainedSampler, AsksForAllLogitsAndRestrictsOnlyIfNeedBe) {
  Sampler sampler({.temperature = 0.0}, 4);
  EXPECT_NE(sampler.wanted().count, 0);
  const auto constraint = std::make_shared<FixedConstraint>(std::set<TokenId>{1, 2});
  sampler.set_constraint(constraint);
  EXPECT_EQ(sampler.wanted().count, 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{0, 3, 1, 2}), 1);
  EXPECT_EQ(constraint->restricted, 0);
  EXPECT_EQ(sampler.sample(std::vector<float>{5, 0, 1, 2}), 2);
  EXPECT_EQ(constraint->restricted, 1);
  EXPECT_EQ(sampler.sample(std::vector<float>{5, -kInf, -1000, 2}), 2);
  expect_error([&] { sampler.sample(std::vector<float>{5, -kInf, -kInf, 2}); }, {"may come next"});
  sampler.accept_prompt(3);
  sampler.accept(2);
  EXPECT_EQ(constraint->accepted, std::vector<TokenId>{2});
  sampler.set_constraint(nullptr);
  EXPECT_EQ(sampler.sample(std::vector<float>{5, 0, 1, 2}), 0);
}

TEST(ConstrainedSampler, GeneratesWithinTheGrammarBehindAnyPrompt) {
  const text::ByteLevelBpe tokenizer(test::small_bpe());
  const auto trie = std::make_shared<const TokenTrie>(tokenizer);
  const auto grammar = parse_gbnf("root ::= (\"ab\" | \"ca\"){5} \".\"", "g");
  test::Random random(5);
  std::vector<float> logits;
  TokenFeed feed{.feed =
                     [&](std::span<const TokenId>, const WantedLogits& wanted) {
                       EXPECT_EQ(wanted.count, 0);
                       logits = random.normals(static_cast<size_t>(tokenizer.vocab_size()));
                       return std::span<const float>(logits);
                     },
                 .room = 100};
  const TokenId end = static_cast<TokenId>(tokenizer.vocab_size() - 1);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Sampler sampler({.temperature = 1.5, .seed = seed}, tokenizer.vocab_size());
    sampler.set_constraint(std::make_shared<GrammarConstraint>(grammar, trie, std::vector{end}));
    const GenerateResult result =
        generate(feed, std::vector<TokenId>{'x', 'y'}, sampler, &tokenizer, {.stop_tokens = {end}});
    EXPECT_EQ(result.stop_reason, StopReason::stop_token);
    EXPECT_TRUE(grammar->matches(result.text)) << result.text;
  }
}

}  // namespace
}  // namespace rotor::runtime::grammar
