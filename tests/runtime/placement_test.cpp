// A model that is cut between a device and the CPU computes what it computes uncut, bit for bit, takes the
// memory that was counted, and brings over what ops are given.
#include "runtime/engine/placement.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "runtime/engine/language_model.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/pretend_device.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::all_logits;
using test::greedy;
using test::PretendDevice;
using text::TokenId;

constexpr int64_t kLayers = 3;  // of small_transformer()

MemoryNeed example() {
  return {.activations = 10, .layers = {100, 100, 100}, .head = 50};
}

TEST(ChooseSplit, TakesAsManyLayersAsFit) {
  const auto layers = [](std::optional<uint64_t> room) {
    const Split split = choose_split(example(), PlacementOptions::kAsManyAsFit, room);
    return std::pair(split.layers, split.head);
  };
  EXPECT_EQ(layers(std::nullopt), std::pair(int64_t{3}, true));
  EXPECT_EQ(layers(360), std::pair(int64_t{3}, true));
  EXPECT_EQ(layers(359), std::pair(int64_t{3}, false));
  EXPECT_EQ(layers(310), std::pair(int64_t{3}, false));
  EXPECT_EQ(layers(309), std::pair(int64_t{2}, false));
  EXPECT_EQ(layers(110), std::pair(int64_t{1}, false));
  EXPECT_EQ(layers(109), std::pair(int64_t{0}, false));
  EXPECT_EQ(layers(0), std::pair(int64_t{0}, false));
}

TEST(ChooseSplit, ObeysOrSaysHowManyFit) {
  for (const int64_t wanted : {0, 1, 2, 3}) {
    const Split split = choose_split(example(), wanted, 310);
    EXPECT_EQ(split.layers, wanted);
    EXPECT_FALSE(split.head);
  }
  EXPECT_TRUE(choose_split(example(), 4, 360).head);
  EXPECT_TRUE(choose_split(example(), PlacementOptions::kAll, std::nullopt).head);
  test::expect_error([] { choose_split(example(), 3, 309); }, {"--gpu-layers", "at most 2 of 3", "found 3"});
  test::expect_error([] { choose_split(example(), PlacementOptions::kAll, 359); },
                     {"at most 3 of 3", "1 MiB", "all and the head"});
}

class PlacementTest : public ::testing::TestWithParam<test::TransformerKind> {
 protected:
  static std::vector<TokenId> tokens(size_t count) {
    test::Random random(7);
    std::vector<TokenId> ids(count);
    for (TokenId& id : ids) id = static_cast<TokenId>(random.integer(0, 100));
    return ids;
  }

  /// A model on two pretended devices, the second in place of the CPU: neither takes the other's memory.
  struct Placed {
    PretendDevice* device;
    PretendDevice* cpu;
    std::unique_ptr<LanguageModel> model;
  };
  Placed place(const PlacementOptions& options, std::optional<uint64_t> memory = std::nullopt) const {
    auto device = std::make_unique<PretendDevice>(PretendDevice::Options{.memory = memory});
    auto cpu =
        std::make_unique<PretendDevice>(PretendDevice::Options{.name = "cpu", .needs_weights_held = false});
    Placed placed{device.get(), cpu.get(), nullptr};
    placed.model =
        std::make_unique<LanguageModel>(dir_.file("m.rotor"), Backends{std::move(device), std::move(cpu)},
                                        LanguageModelOptions{.placement = options});
    return placed;
  }
  void write(DenseType head = DenseType::q8) const {
    test::write_random_model(dir_.file("m.rotor"), GetParam().config, 1, head);
  }

  test::TempDir dir_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, PlacementTest, ::testing::ValuesIn(test::transformer_kinds()),
                         [](const auto& param) { return param.param.name; });

TEST_P(PlacementTest, SplitModelsComputeTheSame) {
  const auto ids = tokens(40);
  for (const KvType kv : {KvType::f32, KvType::q8}) {
    write(kv == KvType::f32 ? DenseType::f32 : DenseType::q8);
    const SessionOptions options{.context = 60, .kv = kv, .batch = 7};
    const LanguageModel whole(dir_.file("m.rotor"), {.backend = "cpu", .threads = 1});
    Session expected = whole.make_session(options);
    std::vector<std::vector<float>> states;
    expected.observe([&](int64_t, std::span<const float> x) { states.emplace_back(x.begin(), x.end()); });
    const auto logits = all_logits(expected, ids);
    const auto continued = greedy(expected, {3}, 10);
    for (int64_t layers = 0; layers <= kLayers + 1; ++layers) {
      const Placed placed = place({.gpu_layers = layers});
      Session session = placed.model->make_session(options);
      size_t seen = 0;
      session.observe([&](int64_t layer, std::span<const float> x) {
        EXPECT_EQ(layer, static_cast<int64_t>(seen) % (kLayers + 2));
        ASSERT_LT(seen, states.size());
        EXPECT_EQ(std::vector(x.begin(), x.end()), states[seen++]);
      });
      EXPECT_EQ(all_logits(session, ids), logits) << layers << " layers, " << name(kv);
      EXPECT_EQ(greedy(session, {3}, 10), continued) << layers << " layers, " << name(kv);
      EXPECT_EQ(seen, states.size());
      EXPECT_EQ(placed.model->placement()->gpu_layers(), std::min(layers, kLayers));
      EXPECT_EQ(placed.model->backend().name(), layers == 0 ? "cpu" : "pretend");
      EXPECT_EQ(placed.device->counts().calls > 0, layers > 0);
      EXPECT_EQ(placed.cpu->counts().calls > 0, layers <= kLayers);
    }
  }
}

TEST_P(PlacementTest, HiddenStatesCrossOnce) {
  write();
  for (int64_t layers = 0; layers <= kLayers + 1; ++layers) {
    const Placed placed = place({.gpu_layers = layers});
    Session session = placed.model->make_session({.context = 60});
    session.feed(tokens(5));
    const auto& device = placed.device->counts();
    const auto& cpu = placed.cpu->counts();
    const bool split = layers > 0 && layers <= kLayers;
    EXPECT_EQ(device.uploads, split ? 1 : 0) << layers;
    EXPECT_EQ(cpu.uploads, split ? 1 : 0) << layers;
    EXPECT_EQ(device.downloads, layers > 0 ? 1 : 0) << layers;  // hidden states, or logits
    EXPECT_EQ(cpu.downloads, layers <= kLayers ? 1 + (split ? 1 : 0) : 0) << layers;
  }
}

// What is counted beforehand is what is taken: logits of feed_all() included.
TEST_P(PlacementTest, MemoryIsCountedExactly) {
  for (const KvType kv : {KvType::f32, KvType::f16, KvType::q8}) {
    for (const DenseType head : {DenseType::f32, DenseType::f16, DenseType::q8}) {
      write(head);
      const SessionOptions options{.context = 60, .kv = kv, .batch = 32};
      for (int64_t layers = 1; layers <= kLayers + 1; ++layers) {
        const Placed placed = place({.gpu_layers = layers});
        const Transformer& model = placed.model->transformer();
        const MemoryNeed need = memory_need(model, stage_options(model, options));
        uint64_t expected = need.activations + (layers > kLayers ? need.head : 0);
        for (int64_t i = 0; i < std::min(layers, kLayers); ++i)
          expected += need.layers[static_cast<size_t>(i)];
        Session session = placed.model->make_session(options);
        all_logits(session, tokens(40));
        EXPECT_EQ(placed.device->counts().most_bytes, expected)
            << layers << " layers, " << name(kv) << ", head " << name(head);
      }
    }
  }
}

TEST_P(PlacementTest, FillsTheMemoryThatIsThere) {
  write();
  const SessionOptions options{.context = 60};
  const Placed whole = place({});
  const Transformer& model = whole.model->transformer();
  const MemoryNeed need = memory_need(model, stage_options(model, options));
  const uint64_t two = need.activations + need.layers[0] + need.layers[1];
  const auto layers = [&](const PlacementOptions& placement, std::optional<uint64_t> memory) {
    const Placed placed = place(placement, memory);
    Session session = placed.model->make_session(options);
    all_logits(session, tokens(20));
    return placed.model->placement()->gpu_layers();
  };
  // A tenth of the memory stays free, unless the user says how much may be used.
  EXPECT_EQ(layers({}, two), 1);
  EXPECT_EQ(layers({}, two * 10 / 9 + 2), 2);
  EXPECT_EQ(layers({.gpu_memory = two}, two), 2);
  EXPECT_EQ(layers({.gpu_memory = two - 1}, std::nullopt), 1);
  EXPECT_EQ(layers({.gpu_memory = 1}, two), 0);
  EXPECT_EQ(layers({}, std::nullopt), kLayers);
  test::expect_error([&] { layers({.gpu_layers = 2}, two); }, {"--gpu-layers", "at most 1 of 3", "found 2"});
  test::expect_error([&] { layers({.gpu_layers = PlacementOptions::kAll}, two); }, {"at most 1 of 3"});
  test::expect_error([&] { layers({.gpu_memory = 10 * two}, two / 3); }, {"no memory", "--gpu-layers"});
  // A longer context leaves room for fewer layers.
  const Placed tight = place({.gpu_memory = two});
  EXPECT_LT(tight.model->place({.context = 64})->gpu_layers(), 2);
}

TEST_P(PlacementTest, WeightsStayForAllSessions) {
  write();
  const Placed placed = place({});
  std::unique_ptr<Session> first(new Session(placed.model->make_session({.context = 20})));
  const uint64_t with_one = placed.device->counts().bytes;
  std::unique_ptr<Session> second(new Session(placed.model->make_session({.context = 20})));
  const uint64_t with_two = placed.device->counts().bytes;
  second.reset();
  EXPECT_EQ(placed.device->counts().bytes, with_one);
  first.reset();
  const uint64_t weights = placed.device->counts().bytes;
  EXPECT_EQ(with_two - with_one, with_one - weights);
  uint64_t expected = 0;
  const Transformer& model = placed.model->transformer();
  for (const auto& list : {model.layer_weights({0, kLayers}), model.head_weights()}) {
    for (const WeightBytes& part : list) expected += part.bytes.size();
  }
  EXPECT_EQ(weights, expected);
}

TEST_P(PlacementTest, ASessionOfABackendHoldsWeightsItself) {
  write();
  const RotorFile file(dir_.file("m.rotor"));
  const Transformer model(file);
  PretendDevice device({});
  {
    Session session(model, device, {.context = 20});
    session.feed(tokens(5));  // throws if an op is given what is not held
    EXPECT_GT(device.counts().bytes, 0U);
  }
  EXPECT_EQ(device.counts().bytes, 0U);
}

}  // namespace
}  // namespace rotor::runtime
