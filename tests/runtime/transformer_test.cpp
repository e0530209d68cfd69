// The packed language model against golden vectors of transformers' BitNet, and what must not matter: how
// tokens are batched, and how many threads compute.
#include "runtime/model/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "export/convert.h"
#include "rotor/formats/json.h"
#include "rotor/kernels/kernels.h"
#include "runtime/engine/session.h"
#include "tests/support/allocations.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::all_logits;
using test::argmax;
using test::golden_ids;
using test::greedy;
using test::kGoldenTolerance;
using test::largest_difference;
using text::TokenId;

/// A text as GoogleTest wants the names of tests.
std::string test_name(std::string text) {
  std::ranges::replace(text, '-', '_');
  return text;
}

/// A golden checkpoint as an open .rotor file, for each kernel set.
class GoldenTransformerTest : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  GoldenTransformerTest() {
    const std::string directory = dir_.file("checkpoint");
    test::write_golden_transformer(directory, variant());
    exporting::export_rotor(Checkpoint(directory), dir_.file("m.rotor"), {.head = DenseType::f32},
                            [](const auto&) {});
    setenv("ROTOR_KERNELS", std::get<1>(GetParam()).c_str(), 1);
    backend_ = make_backend();
    unsetenv("ROTOR_KERNELS");
    file_.emplace(dir_.file("m.rotor"));
    model_.emplace(*file_);
  }
  std::string variant() const { return std::get<0>(GetParam()); }
  Session session(KvType kv = KvType::f32) const { return {*model_, *backend_, {.kv = kv}}; }

  const SafetensorsFile golden_ = test::golden_transformer_outputs(variant());
  test::TempDir dir_;
  std::unique_ptr<Backend> backend_;
  std::optional<RotorFile> file_;
  std::optional<Transformer> model_;
};

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const auto& entry : kernels::registered_sets()) {
    if (entry.set->supported()) names.emplace_back(entry.set->name);
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Variants, GoldenTransformerTest,
                         ::testing::Combine(::testing::ValuesIn(test::golden_transformers()),
                                            ::testing::ValuesIn(kernel_names())),
                         [](const auto& param) {
                           return test_name(std::get<0>(param.param) + "_" + std::get<1>(param.param));
                         });

TEST_P(GoldenTransformerTest, LogitsAndHiddenStatesAgree) {
  for (const std::string prompt : {"0", "1", "2"}) {
    Session s = session();
    std::vector<std::vector<float>> hidden;
    s.observe([&](int64_t layer, std::span<const float> x) {
      ASSERT_EQ(layer, static_cast<int64_t>(hidden.size()));
      hidden.emplace_back(x.begin(), x.end());
    });
    const auto logits = all_logits(s, golden_ids(golden_, "prompt." + prompt + ".ids"));
    const auto expected = golden_.read<float>(variant() + ".f32.logits." + prompt);
    EXPECT_LT(largest_difference(logits, expected), kGoldenTolerance) << "prompt " << prompt;
    if (prompt != "1") continue;
    const auto states = golden_.read<float>(variant() + ".f32.hidden.1");
    ASSERT_EQ(std::ssize(hidden), file_->config().transformer.num_hidden_layers + 2);
    const size_t size = states.size() / hidden.size();
    for (size_t i = 0; i < hidden.size(); ++i) {
      EXPECT_LT(largest_difference(hidden[i], std::span(states).subspan(i * size, size)), kGoldenTolerance)
          << "hidden " << i;
    }
  }
}

TEST_P(GoldenTransformerTest, GreedyContinuationsAreEqual) {
  for (const std::string prompt : {"0", "1", "2"}) {
    Session s = session();
    const auto expected = golden_ids(golden_, variant() + ".f32.greedy." + prompt);
    const auto found = greedy(s, golden_ids(golden_, "prompt." + prompt + ".ids"), expected.size());
    EXPECT_EQ(found, expected) << "prompt " << prompt;
  }
}

// The READMEs there: flips of int8 codes are unavoidable in 200 tokens, so cosine > 0.998, mean |diff| <
// 0.25, and the same best token.
TEST_P(GoldenTransformerTest, LongPromptAgreesUpToRoundingFlips) {
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::q8}) {
    Session s = session(kv);
    const auto logits = s.feed(golden_ids(golden_, "prompt.long.ids"));
    const auto expected = golden_.read<float>(variant() + ".f32.logits_last.long");
    double dot = 0.0;
    double aa = 0.0;
    double bb = 0.0;
    double difference = 0.0;
    for (size_t i = 0; i < expected.size(); ++i) {
      const auto a = static_cast<double>(logits[i]);
      const auto b = static_cast<double>(expected[i]);
      dot += a * b;
      aa += a * a;
      bb += b * b;
      difference += std::fabs(a - b);
    }
    // A cache in 16 or 8 bits adds its own rounding to that of the activations.
    EXPECT_GT(dot / std::sqrt(aa * bb), kv == KvType::f32   ? 0.998
                                        : kv == KvType::f16 ? 0.997
                                                            : 0.98)
        << name(kv);
    EXPECT_LT(difference / static_cast<double>(expected.size()), kv == KvType::q8 ? 0.6 : 0.25) << name(kv);
    EXPECT_EQ(argmax(logits), argmax(expected)) << name(kv);
  }
}

class TransformerTest : public ::testing::TestWithParam<test::TransformerKind> {
 protected:
  std::string write(DenseType head = DenseType::f32) const {
    test::write_random_model(dir_.file("m.rotor"), GetParam().config, 1, head);
    return dir_.file("m.rotor");
  }
  static std::vector<TokenId> tokens(size_t count) {
    test::Random random(7);
    std::vector<TokenId> ids(count);
    for (TokenId& id : ids) id = static_cast<TokenId>(random.integer(0, 100));
    return ids;
  }
  test::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, TransformerTest, ::testing::ValuesIn(test::transformer_kinds()),
                         [](const auto& param) { return param.param.name; });

TEST_P(TransformerTest, BatchesAndThreadsDoNotMatter) {
  const RotorFile file(write());
  const Transformer model(file);
  const auto ids = tokens(50);
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::q8}) {
    const auto one = make_backend("", 1);
    Session whole(model, *one, {.kv = kv, .batch = 64});
    const std::vector<float> expected = all_logits(whole, ids);
    for (const int64_t threads : {1, 2, 3}) {
      for (const int64_t batch : {1, 7, 64}) {
        const auto backend = make_backend("", threads);
        Session session(model, *backend, {.kv = kv, .batch = batch});
        EXPECT_EQ(all_logits(session, ids), expected)
            << name(kv) << " threads " << threads << " batch " << batch;
      }
    }
    // One call a token, then the last token once more after going back.
    Session steps(model, *one, {.kv = kv, .batch = 64});
    std::vector<float> logits;
    for (const TokenId& id : ids) {
      const auto row = steps.feed({&id, 1});
      logits.assign(row.begin(), row.end());
    }
    EXPECT_EQ(logits, std::vector<float>(expected.end() - 101, expected.end()));
    steps.rewind(49);
    const auto again = steps.feed({&ids.back(), 1});
    EXPECT_EQ(logits, std::vector<float>(again.begin(), again.end()));
  }
}

TEST_P(TransformerTest, DecodingAllocatesNothing) {
  const RotorFile file(write(DenseType::q8));
  const Transformer model(file);
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::q8}) {
    const auto backend = make_backend("cpu", 1);  // each thread keeps scratch memory: with one, all is known
    Session session(model, *backend, {.kv = kv});
    const auto ids = tokens(60);
    const auto feed_from_40 = [&] {
      for (size_t i = 40; i < ids.size(); ++i) session.feed(std::span(ids).subspan(i, 1));
    };
    session.feed(std::span(ids).first(40));
    feed_from_40();
    session.rewind(40);
    const int64_t before = test::allocations();
    feed_from_40();
    EXPECT_EQ(test::allocations(), before) << name(kv);
  }
}

TEST_P(TransformerTest, KernelSetsAgree) {
  const RotorFile file(write(DenseType::f16));
  const Transformer model(file);
  std::vector<std::vector<float>> results;
  for (const std::string& kernels : kernel_names()) {
    setenv("ROTOR_KERNELS", kernels.c_str(), 1);
    const auto backend = make_backend();
    unsetenv("ROTOR_KERNELS");
    Session session(model, *backend, {});
    results.push_back(all_logits(session, tokens(40)));
    EXPECT_EQ(results.back(), results.front()) << kernels;
  }
}

// Heads in fewer bits: each weight is off by at most 2^-11 of itself (f16), or half a step of its row (q8),
// so that a logit, a sum of 40 products, is off by a small share of what it is made of. Activations stay
// float: where the embedding is rounded too, int8 codes of the layers behind it would flip.
TEST_P(TransformerTest, SmallerHeadsStayClose) {
  std::vector<std::vector<float>> results;
  for (const DenseType head : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    const RotorFile file(write(head));
    EXPECT_EQ(file.dense_format().type, head);
    EXPECT_TRUE(file.verify().empty());
    const auto backend = make_backend();
    const Transformer model(file, true);
    Session session(model, *backend, {.kv = KvType::f32});
    results.push_back(all_logits(session, {3}));  // one token: attention has no say
  }
  EXPECT_LT(largest_difference(results[0], results[1]), 0.2);
  EXPECT_LT(largest_difference(results[0], results[2]), 1.5);
  EXPECT_NE(results[0], results[1]);
  EXPECT_NE(results[0], results[2]);
}

TEST_P(TransformerTest, BadTokensAndFullContextsAreErrors) {
  const RotorFile file(write());
  const Transformer model(file);
  const auto backend = make_backend();
  test::expect_error([&] { Session(model, *backend, {.context = 65}); }, {"context", "64", "65"});
  Session session(model, *backend, {.context = 5});
  const std::vector<TokenId> outside = {1, 101};
  test::expect_error([&] { session.feed(outside); }, {"token 1", "0 to 100", "101"});
  const std::vector<TokenId> negative = {-1};
  test::expect_error([&] { session.feed(negative); }, {"token 0", "-1"});
  test::expect_error([&] { session.feed({}); }, {"at least one token"});
  const auto ids = tokens(6);
  test::expect_error([&] { session.feed(ids); }, {"5 tokens", "6 more"});
  EXPECT_EQ(session.position(), 0);
  session.feed(std::span(ids).first(4));
  test::expect_error([&] { session.feed(std::span(ids).first(2)); }, {"5 tokens", "4 are in it", "2 more"});
  test::expect_error([&] { session.rewind(5); }, {"0 to 4", "5"});
}

TEST(Transformer, ClassifiersAreRefused) {
  const test::TempDir dir;
  test::write_random_model(dir.file("m.rotor"), test::small_mlp());
  const RotorFile file(dir.file("m.rotor"));
  test::expect_error([&] { Transformer model(file); }, {"m.rotor", "language model", "mlp"});
}

}  // namespace
}  // namespace rotor::runtime
