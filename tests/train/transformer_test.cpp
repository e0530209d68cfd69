// The language model module against golden vectors of transformers' BitNet, and what options must not change.
#include "train/models/transformer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/core/tensor_table.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "train/models/parameters.h"

namespace rotor::train {
namespace {

Transformer load(const std::string& directory, const TransformerOptions& options = {}) {
  const Checkpoint checkpoint(directory);
  Transformer model(checkpoint.config(), options);
  load_parameters(*model, checkpoint);
  return model;
}

torch::Tensor golden_tensor(const SafetensorsFile& golden, const std::string& name) {
  const TensorInfo& info = golden.at(name);
  if (info.dtype == DType::i64) {
    auto ids = golden.read<int64_t>(name);
    return torch::from_blob(ids.data(), info.shape, torch::kInt64).clone();
  }
  auto values = golden.read<float>(name);
  return torch::from_blob(values.data(), info.shape, torch::kFloat32).clone();
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  EXPECT_EQ(a.sizes(), b.sizes());
  return (a - b).abs().max().item<double>();
}

class GoldenTransformerModule : public ::testing::TestWithParam<std::string> {
 protected:
  GoldenTransformerModule() {
    test::write_golden_transformer(dir_.file("checkpoint"), GetParam());
    model_ = load(dir_.file("checkpoint"));
  }
  torch::Tensor ids(const std::string& prompt) const {
    return golden_tensor(golden_, "prompt." + prompt + ".ids").unsqueeze(0);
  }
  torch::Tensor expected(const std::string& name) const {
    return golden_tensor(golden_, GetParam() + ".f32." + name);
  }

  const torch::NoGradGuard no_grad_;
  const SafetensorsFile golden_ = test::golden_transformer_outputs(GetParam());
  test::TempDir dir_;
  Transformer model_ = nullptr;
};
INSTANTIATE_TEST_SUITE_P(Variants, GoldenTransformerModule, ::testing::ValuesIn(test::golden_transformers()),
                         [](const auto& param) {
                           std::string word = param.param;
                           std::ranges::replace(word, '-', '_');
                           return word;
                         });

// The READMEs there: atol 1e-3; a correct float32 implementation gets about 1e-5.
TEST_P(GoldenTransformerModule, LogitsAndHiddenStatesAgree) {
  for (const std::string prompt : {"0", "1", "2"}) {
    std::vector<torch::Tensor> hidden;
    const torch::Tensor logits = model_->forward_observed(
        ids(prompt), {}, [&](int64_t, const torch::Tensor& x) { hidden.push_back(x[0]); });
    EXPECT_LT(largest_difference(logits[0], expected("logits." + prompt)), 1e-3) << prompt;
    if (prompt != "1") continue;
    EXPECT_LT(largest_difference(torch::stack(hidden), expected("hidden.1")), 1e-3);
  }
}

TEST_P(GoldenTransformerModule, GreedyContinuationsAreEqual) {
  for (const std::string prompt : {"0", "1", "2"}) {
    torch::Tensor sequence = ids(prompt);
    const int64_t length = sequence.size(1);
    for (int i = 0; i < 16; ++i) {
      sequence = torch::cat({sequence, model_(sequence).narrow(1, sequence.size(1) - 1, 1).argmax(-1)}, 1);
    }
    EXPECT_TRUE(torch::equal(sequence[0].narrow(0, length, 16), expected("greedy." + prompt))) << prompt;
  }
}

// The READMEs there: flips of int8 codes are unavoidable in 200 tokens.
TEST_P(GoldenTransformerModule, LongPromptAgreesUpToRoundingFlips) {
  const torch::Tensor logits = model_(ids("long"))[0][-1];
  const torch::Tensor reference = expected("logits_last.long");
  EXPECT_GT(torch::cosine_similarity(logits, reference, 0).item<double>(), 0.998);
  EXPECT_LT((logits - reference).abs().mean().item<double>(), 0.25);
  EXPECT_EQ(logits.argmax().item<int64_t>(), reference.argmax().item<int64_t>());
}

class TransformerModule : public ::testing::TestWithParam<test::TransformerKind> {
 protected:
  TransformerModule() { torch::manual_seed(1); }
  static ModelConfig config() { return GetParam().config; }
  /// A model that computes as `other` does, with other options.
  static Transformer twin(const Transformer& other, const TransformerOptions& options) {
    Transformer model(config(), options);
    const torch::NoGradGuard no_grad;
    const auto from = other->named_parameters();
    for (const auto& parameter : model->named_parameters()) parameter->copy_(from[parameter.key()]);
    return model;
  }
  static torch::Tensor loss(Transformer& model, const torch::Tensor& ids,
                            const torch::Tensor& segments = {}) {
    const torch::Tensor logits = model->forward(ids, segments);
    return torch::nn::functional::cross_entropy(
        logits.narrow(1, 0, ids.size(1) - 1).reshape({-1, logits.size(2)}),
        ids.narrow(1, 1, ids.size(1) - 1).reshape({-1}));
  }
};
INSTANTIATE_TEST_SUITE_P(Kinds, TransformerModule, ::testing::ValuesIn(test::transformer_kinds()),
                         [](const auto& param) { return param.param.name; });

TEST_P(TransformerModule, ParametersAreThoseOfTheTensorTable) {
  const Transformer model(config());
  const auto parameters = model->named_parameters();
  const auto table = tensor_table(config());
  EXPECT_EQ(parameters.size(), table.size());
  for (const TensorSpec& spec : table) {
    const torch::Tensor* parameter = parameters.find(spec.name);
    ASSERT_NE(parameter, nullptr) << spec.name;
    EXPECT_EQ(parameter->sizes().vec(), spec.shape) << spec.name;
    EXPECT_TRUE(parameter->requires_grad());
  }
}

TEST_P(TransformerModule, LaterTokensDoNotMatter) {
  Transformer model(config());
  const torch::NoGradGuard no_grad;
  const torch::Tensor ids = torch::randint(0, 101, {2, 20});
  const torch::Tensor whole = model(ids);
  EXPECT_LT(largest_difference(whole.narrow(1, 0, 9), model(ids.narrow(1, 0, 9))), 1e-5);
}

// Packed documents must not see one another: each gives what it gives alone.
TEST_P(TransformerModule, SegmentsAreIndependent) {
  Transformer model(config());
  const torch::NoGradGuard no_grad;
  const torch::Tensor ids = torch::randint(0, 101, {1, 20});
  const torch::Tensor segments =
      torch::cat({torch::zeros({7}), torch::ones({1}), torch::full({12}, 2)}).to(torch::kLong);
  const torch::Tensor packed = model->forward(ids, segments.unsqueeze(0));
  for (const auto& [first, count] : std::vector<std::pair<int64_t, int64_t>>{{0, 7}, {7, 1}, {8, 12}}) {
    const torch::Tensor alone = model(ids.narrow(1, first, count));
    EXPECT_LT(largest_difference(packed.narrow(1, first, count), alone), 1e-5) << first;
  }
}

TEST_P(TransformerModule, ActivationCheckpointingChangesNothing) {
  Transformer plain(config());
  Transformer checkpointed = twin(plain, {.activation_checkpointing = true});
  const torch::Tensor ids = torch::randint(0, 101, {3, 16});
  const torch::Tensor a = loss(plain, ids);
  const torch::Tensor b = loss(checkpointed, ids);
  EXPECT_TRUE(torch::equal(a, b));
  a.backward();
  b.backward();
  const auto gradients = plain->named_parameters();
  for (const auto& parameter : checkpointed->named_parameters()) {
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    EXPECT_TRUE(torch::allclose(parameter->grad(), gradients[parameter.key()].grad(), 1e-5, 1e-7))
        << parameter.key();
  }
}

// bfloat16 has 8 bits of mantissa: losses of a fresh model agree to about a percent, gradients point the same
// way.
TEST_P(TransformerModule, Bfloat16IsClose) {
  Transformer plain(config());
  Transformer half = twin(plain, {.compute = torch::kBFloat16});
  const torch::Tensor ids = torch::randint(0, 101, {3, 16});
  const torch::Tensor a = loss(plain, ids);
  const torch::Tensor b = loss(half, ids);
  EXPECT_NEAR(a.item<double>(), b.item<double>(), 0.02);
  a.backward();
  b.backward();
  const auto gradients = plain->named_parameters();
  for (const auto& parameter : half->named_parameters()) {
    EXPECT_EQ(parameter->grad().scalar_type(), torch::kFloat32);
    const torch::Tensor expected = gradients[parameter.key()].grad().flatten();
    EXPECT_GT(torch::cosine_similarity(parameter->grad().flatten(), expected, 0).item<double>(), 0.9)
        << parameter.key();
  }
}

TEST_P(TransformerModule, ParametersGoThroughCheckpoints) {
  const test::TempDir dir;
  Transformer model(config());
  save_parameters(*model, config(), dir.path());
  Transformer loaded = load(dir.path());
  const torch::Tensor ids = torch::randint(0, 101, {1, 12});
  EXPECT_TRUE(torch::equal(model(ids), loaded(ids)));
}

// A group's codes are kept until a weight changes.
TEST(LinearGroup, SeesChangedWeights) {
  torch::manual_seed(3);
  TernaryLinear a(TernaryLinearOptions(8, 4));
  TernaryLinear b(TernaryLinearOptions(8, 6));
  LinearGroup group({a, b});
  const torch::Tensor x = torch::randn({5, 8});
  EXPECT_TRUE(torch::equal(group.forward(x), torch::cat({a(x), b(x)}, -1)));
  {
    const torch::NoGradGuard no_grad;
    b->weight.mul_(-2.0);
  }
  EXPECT_TRUE(torch::equal(group.forward(x), torch::cat({a(x), b(x)}, -1)));
  // Gradients reach each layer as they do alone.
  const torch::Tensor weight = torch::randn({5, 10});
  (group.forward(x) * weight).sum().backward();
  const torch::Tensor grad_b = b->weight.grad().clone();
  b->weight.mutable_grad().zero_();
  (b(x) * weight.narrow(1, 4, 6)).sum().backward();
  EXPECT_TRUE(torch::allclose(grad_b, b->weight.grad()));
}

// Layers that norm their input, and dense ones among ternary ones, give in a group what they give alone.
TEST(LinearGroup, LayersThatShareNoInputRunApart) {
  torch::manual_seed(4);
  TernaryLinear normed(TernaryLinearOptions(8, 4).rms_norm_eps(1e-3));
  TernaryLinear plain(TernaryLinearOptions(8, 6));
  TernaryLinear dense(TernaryLinearOptions(8, 5).quantization(Quantization::none));
  {
    const torch::NoGradGuard no_grad;
    normed->rms_norm->weight.uniform_(0.3, 2.0);
  }
  LinearGroup group({normed, plain, dense});
  const torch::Tensor x = 0.1 * torch::randn({5, 8});
  const torch::Tensor scaled =
      x / (x.square().mean(-1, /*keepdim=*/true) + 1e-3).sqrt() * normed->rms_norm->weight;
  TernaryLinear inner(TernaryLinearOptions(8, 4));
  {
    const torch::NoGradGuard no_grad;
    inner->weight.copy_(normed->weight);
  }
  const torch::Tensor y = group.forward(x);
  EXPECT_TRUE(torch::allclose(y.narrow(1, 0, 4), inner(scaled), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(y.narrow(1, 4, 6), plain(x)));
  EXPECT_TRUE(torch::allclose(y.narrow(1, 10, 5), torch::matmul(x, dense->weight.t()), 1e-5, 1e-7));
  y.sum().backward();
  for (const torch::Tensor& parameter :
       {normed->weight, normed->rms_norm->weight, plain->weight, dense->weight}) {
    EXPECT_GT(parameter.grad().abs().sum().item<double>(), 0.0);
  }
}

// Biases are added behind the products, in groups as alone, and learn.
TEST(LinearGroup, AddsBiases) {
  torch::manual_seed(5);
  for (const Quantization quantization : {Quantization::ternary, Quantization::none}) {
    TernaryLinear a(TernaryLinearOptions(8, 4).bias(true).quantization(quantization));
    TernaryLinear b(TernaryLinearOptions(8, 6).bias(true).quantization(quantization));
    LinearGroup group({a, b});
    const torch::Tensor x = torch::randn({2, 3, 8});
    const torch::Tensor without = group.forward(x).detach();
    {
      const torch::NoGradGuard no_grad;
      a->bias.normal_();
      b->bias.normal_();
    }
    const torch::Tensor y = group.forward(x);
    EXPECT_TRUE(torch::equal(y, without + torch::cat({a->bias, b->bias})));
    EXPECT_TRUE(torch::equal(y, torch::cat({a(x), b(x)}, -1)));
    y.sum().backward();
    EXPECT_TRUE(torch::equal(a->bias.grad(), torch::full({4}, 6.0)));
    EXPECT_TRUE(torch::equal(b->bias.grad(), torch::full({6}, 6.0)));
  }
}

TEST(Transformer, ErrorsSayWhatIsWrong) {
  test::expect_error([] { Transformer(test::small_mlp()); }, {"language model", "mlp"});
  Transformer model(test::small_transformer());
  test::expect_error([&] { model(torch::zeros({1, 65}, torch::kLong)); }, {"64 tokens", "65"});
}

}  // namespace
}  // namespace rotor::train
