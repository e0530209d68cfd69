// LoRA adapters beside a model: what PEFT computes with them, on every kernel set and backend; several at
// once; changes of them between requests.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "export/convert.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/kernels/kernels.h"
#include "runtime/engine/benchmark.h"
#include "runtime/engine/language_model.h"
#include "tests/support/adapters.h"
#include "tests/support/allocations.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::all_logits;
using test::expect_error;
using test::largest_difference;
using text::TokenId;

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const auto& entry : kernels::registered_sets()) {
    if (entry.set->supported()) names.emplace_back(entry.set->name);
  }
  return names;
}

/// Adapters of tests/golden/peft on their base.
struct GoldenCase {
  const char* name;  ///< in expected.safetensors; '_' for '-'
  const char* base;
  std::vector<std::pair<const char*, float>> adapters;
  bool greedy = false;
};
const std::vector<GoldenCase>& golden_cases() {
  static const std::vector<GoldenCase> cases = {
      {"bitnet-a", "bitnet", {{"bitnet-a", 1.0F}}, true},
      {"bitnet-b", "bitnet", {{"bitnet-b", 1.0F}}},
      {"bitnet-ab", "bitnet", {{"bitnet-a", 1.0F}, {"bitnet-b", -0.5F}}, true},
      {"qwen2-a", "qwen2", {{"qwen2-a", 1.0F}}, true},
      {"bitnet", "bitnet", {}},
      {"qwen2", "qwen2", {}}};
  return cases;
}

class GoldenAdapterTest : public ::testing::TestWithParam<std::tuple<size_t, std::string>> {};

INSTANTIATE_TEST_SUITE_P(Cases, GoldenAdapterTest,
                         ::testing::Combine(::testing::Range(size_t{0}, golden_cases().size()),
                                            ::testing::ValuesIn(kernel_names())),
                         [](const auto& param) {
                           std::string name = golden_cases()[std::get<0>(param.param)].name;
                           std::ranges::replace(name, '-', '_');
                           return name + "_" + std::get<1>(param.param);
                         });

TEST_P(GoldenAdapterTest, LogitsAndTextAreThoseOfPeft) {
  const GoldenCase& golden = golden_cases()[std::get<0>(GetParam())];
  const std::string base = golden.base;
  const test::TempDir dir;
  test::write_golden_transformer(dir.file("base"), base == "bitnet" ? "bitnet-online" : "qwen2-float-tied");
  exporting::export_rotor(Checkpoint(dir.file("base")), dir.file("m.rotor"), {.head = DenseType::f32},
                          [](const auto&) {});
  setenv("ROTOR_KERNELS", std::get<1>(GetParam()).c_str(), 1);
  const auto backend = make_backend();
  unsetenv("ROTOR_KERNELS");
  const RotorFile file(dir.file("m.rotor"));
  const Transformer model(file);
  SessionOptions options{.kv = KvType::f32};
  for (const auto& [name, weight] : golden.adapters) {
    const PeftAdapter files(test::golden_path(std::string("peft/") + name));
    options.adapters.push_back({std::make_shared<Adapter>(files, file.config(), file.path()), weight});
  }
  const auto expected = test::open_golden("peft/expected.safetensors");
  for (const std::string k : {"0", "1", "2"}) {
    const auto prompt = test::golden_ids(expected, base + ".prompt." + k + ".ids");
    Session session(model, *backend, options);
    const auto logits = expected.read<float>(std::string(golden.name) + ".logits." + k);
    EXPECT_LT(largest_difference(all_logits(session, prompt), logits), test::kGoldenTolerance)
        << "prompt " << k;
    if (!golden.greedy) continue;
    const auto ids = test::golden_ids(expected, std::string(golden.name) + ".greedy." + k);
    session.rewind(0);
    EXPECT_EQ(test::greedy(session, prompt, ids.size()), ids) << "prompt " << k;
  }
}

std::vector<TokenId> tokens(size_t count) {
  test::Random random(7);
  std::vector<TokenId> ids(count);
  for (TokenId& id : ids) id = static_cast<TokenId>(random.integer(0, 100));
  return ids;
}

/// A random model of each kind, and random adapters for it.
class AdapterTest : public ::testing::TestWithParam<test::TransformerKind> {
 protected:
  AdapterTest() {
    test::write_random_model(dir_.file("m.rotor"), GetParam().config);
    file_.emplace(dir_.file("m.rotor"));
    model_.emplace(*file_);
  }
  std::shared_ptr<const Adapter> adapter(int64_t rank, uint64_t seed, DType dtype = DType::f32) const {
    const std::string directory = dir_.file("adapter-" + std::to_string(seed));
    test::write_random_adapter(directory, GetParam().config, rank, seed, "", dtype);
    return std::make_shared<Adapter>(PeftAdapter(directory), GetParam().config, "base");
  }
  Session session(Backend& backend, std::vector<ActiveAdapter> adapters, KvType kv = KvType::f32) const {
    return {*model_, backend, {.kv = kv, .adapters = std::move(adapters)}};
  }

  test::TempDir dir_;
  std::optional<RotorFile> file_;
  std::optional<Transformer> model_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, AdapterTest, ::testing::ValuesIn(test::transformer_kinds()),
                         [](const auto& param) { return param.param.name; });

TEST_P(AdapterTest, BatchesAndThreadsDoNotMatter) {
  const auto ids = tokens(30);
  const std::vector<ActiveAdapter> adapters = {{adapter(3, 1), 1.0F}, {adapter(17, 2, DType::f16), -0.7F}};
  const auto one = make_backend("", 1);
  Session whole = session(*one, adapters);
  const auto expected = all_logits(whole, ids);
  for (const int64_t threads : {1, 2, 3}) {
    for (const int64_t batch : {1, 7}) {
      const auto backend = make_backend("", threads);
      Session parts(*model_, *backend, {.kv = KvType::f32, .batch = batch, .adapters = adapters});
      EXPECT_EQ(all_logits(parts, ids), expected) << "threads " << threads << " batch " << batch;
    }
  }
}

TEST_P(AdapterTest, KernelSetsAgree) {
  const std::vector<ActiveAdapter> adapters = {{adapter(5, 1, DType::f16), 1.0F}};
  std::vector<std::vector<float>> results;
  for (const std::string& kernels : kernel_names()) {
    setenv("ROTOR_KERNELS", kernels.c_str(), 1);
    const auto backend = make_backend();
    unsetenv("ROTOR_KERNELS");
    Session with = session(*backend, adapters);
    results.push_back(all_logits(with, tokens(20)));
    EXPECT_EQ(results.back(), results.front()) << kernels;
  }
}

TEST_P(AdapterTest, DecodingAllocatesNothing) {
  const auto backend = make_backend("cpu", 1);
  Session with = session(*backend, {{adapter(4, 1), 1.0F}, {adapter(2, 2), 0.5F}});
  const auto ids = tokens(50);
  const auto feed_from_40 = [&] {
    for (size_t i = 40; i < ids.size(); ++i) with.feed(std::span(ids).subspan(i, 1));
  };
  with.feed(std::span(ids).first(40));
  feed_from_40();
  with.rewind(40);
  const int64_t before = test::allocations();
  feed_from_40();
  EXPECT_EQ(test::allocations(), before);
}

// One request after the other, each with its own adapters, on one session: what fresh sessions compute.
TEST_P(AdapterTest, ChangesBetweenRequests) {
  const auto backend = make_backend();
  const auto a = adapter(3, 1);
  const auto b = adapter(6, 2, DType::f16);
  const auto ids = tokens(12);
  const auto fresh = [&](const std::vector<ActiveAdapter>& adapters) {
    Session once = session(*backend, adapters);
    return all_logits(once, ids);
  };
  const std::vector<std::vector<ActiveAdapter>> requests = {
      {}, {{a}}, {{b}}, {{a, 0.5F}}, {{a}, {b, -1.0F}}, {{b, -1.0F}, {a}}, {}, {{a, 0.0F}}};
  std::vector<std::vector<float>> results;
  Session switched = session(*backend, {{b, 2.0F}});
  all_logits(switched, ids);
  for (const auto& adapters : requests) {
    switched.set_adapters(adapters);
    EXPECT_EQ(switched.position(), 0);
    EXPECT_EQ(switched.adapters(), adapters);
    results.push_back(all_logits(switched, ids));
    EXPECT_EQ(results.back(), fresh(adapters));
    switched.set_adapters(adapters);  // the same: the cache stays
    EXPECT_EQ(switched.position(), std::ssize(ids));
  }
  EXPECT_EQ(results[6], results[0]);
  EXPECT_EQ(results[7], results[0]);  // weight 0
  for (size_t i = 1; i < 5; ++i) EXPECT_GT(largest_difference(results[i], results[0]), 0.05) << i;
  EXPECT_GT(largest_difference(results[1], results[3]), 0.05);
}

// Two adapters are one of both ranks: [a1; a2] and [s1 b1, s2 b2]. Inputs stay float, so that no int8 code
// flips; the sums are those of at most 72 products of numbers around 1, in another order: 1e-5 of a logit
// each, and a few layers make some more of it.
TEST_P(AdapterTest, TwoAtOnceAreTheirSum) {
  const ModelConfig& config = GetParam().config;
  LoraConfig lora;
  lora.all_linear = true;
  lora.rank = 3;
  lora.alpha = 6;
  const auto first = test::random_adapter(config, lora, 1);
  const auto second = test::random_adapter(config, lora, 2);
  const std::vector<float> weights = {1.5F, -0.5F};
  LoraConfig both = lora;
  both.rank = 6;
  both.alpha = 6;
  test::AdapterValues joined;
  for (size_t i = 0; i < first.layers.size(); ++i) {
    std::vector<float> a = first.values[2 * i];
    a.insert(a.end(), second.values[2 * i].begin(), second.values[2 * i].end());
    std::vector<float> b;
    for (size_t row = 0; row < static_cast<size_t>(first.layers[i].outputs); ++row) {
      for (size_t k = 0; k < 3; ++k) b.push_back(2 * weights[0] * first.values[2 * i + 1][row * 3 + k]);
      for (size_t k = 0; k < 3; ++k) b.push_back(2 * weights[1] * second.values[2 * i + 1][row * 3 + k]);
    }
    joined.values.push_back(a);
    joined.values.push_back(b);
    joined.layers.push_back(
        {first.layers[i].module, first.layers[i].inputs, first.layers[i].outputs, {}, {}});
  }
  for (size_t i = 0; i < joined.layers.size(); ++i) {
    joined.layers[i].a = joined.values[2 * i];
    joined.layers[i].b = joined.values[2 * i + 1];
  }
  const auto load = [&](const std::string& name, const LoraConfig& with, const test::AdapterValues& values) {
    std::filesystem::create_directories(dir_.file(name));
    write_peft_adapter(dir_.file(name), with, values.layers);
    return std::make_shared<const Adapter>(PeftAdapter(dir_.file(name)), config, "base");
  };
  const auto one = load("one", lora, first);
  const auto two = load("two", lora, second);
  const auto sum = load("sum", both, joined);
  const Transformer model(*file_, true);
  const auto backend = make_backend();
  const auto compute = [&](std::vector<ActiveAdapter> adapters) {
    Session with(model, *backend, {.kv = KvType::f32, .adapters = std::move(adapters)});
    return all_logits(with, tokens(9));
  };
  const auto apart = compute({{one, weights[0]}, {two, weights[1]}});
  double largest = 0.0;
  for (const float value : apart) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  EXPECT_LT(largest_difference(apart, compute({{sum}})), 1e-4 * largest);
  EXPECT_GT(largest_difference(apart, compute({{one, weights[0]}})), 0.05 * largest);
}

TEST_P(AdapterTest, OtherModelsAndBadWeightsAreErrors) {
  const auto backend = make_backend();
  ModelConfig shallow = GetParam().config;
  shallow.transformer.num_hidden_layers = 2;
  ModelConfig wide = GetParam().config;
  wide.transformer.intermediate_size = 80;
  for (const ModelConfig& config : {shallow, wide}) {
    const std::string directory = dir_.file("other");
    test::write_random_adapter(directory, config, 2);
    const auto other = std::make_shared<Adapter>(PeftAdapter(directory), config, "other");
    expect_error([&] { session(*backend, {{other}}); }, {directory, "was read for a model of"});
    expect_error([&] { Adapter(PeftAdapter(directory), GetParam().config, "this base"); }, {"this base"});
    Session with = session(*backend, {});
    with.feed(tokens(3));
    expect_error([&] { with.set_adapters({{other}}); }, {directory, "was read for a model of"});
    EXPECT_EQ(with.position(), 3);
  }
  expect_error([&] { session(*backend, {{adapter(2, 1), NAN}}); }, {"adapter-1", "finite", "nan"});
}

/// A model file, its backends and adapters, as the commands use them.
class AdaptedModelTest : public ::testing::Test {
 protected:
  AdaptedModelTest() {
    test::write_random_model(path_, config_);
    fingerprint_ = base_fingerprint(RotorFile(path_));
  }
  std::string write(const std::string& name, const std::string& fingerprint, uint64_t seed = 1) const {
    test::write_random_adapter(dir_.file(name), config_, 4, seed, fingerprint);
    return dir_.file(name);
  }

  const ModelConfig config_ = test::small_transformer();
  test::TempDir dir_;
  std::string path_ = dir_.file("m.rotor");
  std::string fingerprint_;
};

TEST_F(AdaptedModelTest, SessionsBeginWithThoseOfTheOptions) {
  const LanguageModel plain(path_);
  const LanguageModel model(path_, {.adapters = {{write("a", fingerprint_), 0.5F}}});
  Session with = model.make_session({.kv = KvType::f32});
  ASSERT_EQ(with.adapters().size(), 1U);
  EXPECT_EQ(with.adapters()[0].weight, 0.5F);
  const auto ids = tokens(9);
  const auto logits = all_logits(with, ids);
  Session without = plain.make_session({.kv = KvType::f32});
  const auto base = all_logits(without, ids);
  EXPECT_NE(logits, base);
  without.set_adapters({{plain.load_adapter(dir_.file("a")), 0.5F}});
  EXPECT_EQ(all_logits(without, ids), logits);
  with.set_adapters({});
  EXPECT_EQ(all_logits(with, ids), base);
}

TEST_F(AdaptedModelTest, AdaptersOfOtherBasesAreRefused) {
  const std::string other = write("other", "0000000000000000");
  expect_error([&] { LanguageModel(path_, {.adapters = {{other}}}); },
               {"other/adapter_config.json", "0000000000000000", fingerprint_, "--any-base"});
  const LanguageModel model(path_);
  expect_error([&] { model.load_adapter(other); }, {"--any-base"});
  EXPECT_EQ(LanguageModel(path_, {.adapters = {{other}}, .any_base = true}).adapters().size(), 1U);
  EXPECT_EQ(LanguageModel(path_, {.adapters = {{write("peft", "")}}}).adapters().size(), 1U);
}

TEST_F(AdaptedModelTest, BytesAreCounted) {
  const std::string directory = write("a", fingerprint_);
  const RotorFile file(path_);
  const Transformer model(file);
  const ActiveAdapter active{std::make_shared<Adapter>(PeftAdapter(directory), config_, "base")};
  int64_t bytes = 0;
  for (const TensorSpec& spec : tensor_table(config_)) {
    if (can_adapt(spec)) bytes += 4 * (spec.shape[0] + spec.shape[1]) * 4;
  }
  EXPECT_EQ(active.adapter->bytes(), static_cast<uint64_t>(bytes));
  EXPECT_EQ(active.adapter->num_layers(), 21);
  EXPECT_EQ(active.adapter->largest_rank(), 4);
  const auto options = stage_options(model, {.context = 8, .batch = 8});
  const MemoryNeed without = memory_need(model, options);
  const MemoryNeed with = memory_need(model, options, {&active, 1});
  EXPECT_EQ(with.activations - without.activations, 3U * 8 * 4 * sizeof(float));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(with.layers[i] - without.layers[i], static_cast<uint64_t>(bytes) / 3);
  }
  const BenchmarkOptions bench{
      .prompt_tokens = 0, .decode_tokens = 2, .repetitions = 1, .measure_bandwidth = false};
  const auto adapted = run_benchmark(LanguageModel(path_, {.adapters = {{directory}}}), bench);
  EXPECT_EQ(adapted.bytes_per_token - run_benchmark(LanguageModel(path_), bench).bytes_per_token, bytes);
}

}  // namespace
}  // namespace rotor::runtime
