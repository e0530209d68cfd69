// Every backend's ops against golden vectors and plain formulas.
#include "runtime/ops/ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend_check.h"
#include "runtime/engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

class BackendTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// Not the CPU, which takes over where a device is refused.
  void SetUp() override { ASSERT_EQ(backend_->name(), GetParam()); }
  Tensor upload(const std::vector<float>& values, int64_t rows) const {
    const Tensor tensor = backend_->allocate(rows, static_cast<int64_t>(values.size()) / rows);
    backend_->upload(values, tensor);
    return tensor;
  }
  std::vector<float> download(const Tensor& tensor) const {
    std::vector<float> values(static_cast<size_t>(tensor.rows * tensor.cols));
    backend_->download(tensor, values);
    return values;
  }

  std::unique_ptr<Backend> backend_ = make_backend(GetParam());
};

INSTANTIATE_TEST_SUITE_P(Backends, BackendTest, ::testing::ValuesIn(backend_names()),
                         [](const auto& param) { return param.param; });

// README tolerance: rtol 1e-5, atol 1e-5 * max|y|.
TEST_P(BackendTest, TernaryLinearAgreesWithGolden) {
  const auto golden = test::open_golden("primitives/linear.safetensors");
  for (const std::string& name : test::golden_cases(golden, "y_packed")) {
    SCOPED_TRACE(name);
    const std::vector<float> weights = golden.read_as_float(golden.at(name + ".weight_bf16"));
    const auto shape = golden.at(name + ".weight_bf16").shape;
    std::vector<int8_t> codes(weights.size());
    const float online_scale = quantize_absmean(weights, codes).scale;
    const auto rows = static_cast<size_t>(shape[0]);
    const auto cols = static_cast<size_t>(shape[1]);
    std::vector<uint8_t> tiles(tile_bytes(rows, cols));
    pack_tiles(codes, rows, cols, tiles);
    LinearWeights linear;
    linear.rows = shape[0];
    linear.cols = shape[1];
    linear.activation_quantization = ActivationQuantization::int8_absmax;
    const std::vector<float> x_values = golden.read<float>(name + ".x");
    const auto tokens = static_cast<int64_t>(x_values.size() / cols);
    const Tensor x = upload(x_values, tokens);
    const Tensor y = backend_->allocate(tokens, shape[0]);
    const float packed_scale = golden.read_as_float(golden.at(name + ".weight_scale"))[0];
    for (const auto& [field, scale] :
         {std::pair{".y_packed", packed_scale}, std::pair{".y_online", online_scale}}) {
      linear.ternary = {shape[0], shape[1], scale, tiles};
      ops::linear(*backend_, x, linear, y);
      const std::vector<float> expected = golden.read<float>(name + field);
      const std::vector<float> found = download(y);
      float largest = 0;
      for (const float v : expected) largest = std::max(largest, std::fabs(v));
      for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(found[i], expected[i], 1e-5F * largest + 1e-5F * std::fabs(expected[i]))
            << field << " " << i;
      }
    }
  }
}

TEST_P(BackendTest, EveryOpAgreesWithTheCpu) {
  const auto reference = make_backend("cpu");
  for (const BackendOpCheck& check : check_backend(*backend_, *reference, CheckDepth::full)) {
    EXPECT_TRUE(check.passed()) << check.op << ": differs by " << check.difference << ", at most "
                                << check.bound;
  }
}

// A whole layer of the same input, as the prototype of the kernels was held to: 3e-4.
TEST_P(BackendTest, ALayerAgreesWithTheCpu) {
  ModelConfig config = test::small_transformer();
  TransformerConfig& t = config.transformer;
  t.num_hidden_layers = 1;
  t.hidden_size = 320;
  t.intermediate_size = 864;
  t.num_attention_heads = 5;
  t.num_key_value_heads = 1;
  t.head_dim = 64;
  const test::TempDir dir;
  test::write_random_model(dir.file("m.rotor"), config);
  const RotorFile file(dir.file("m.rotor"));
  const Transformer model(file);
  const auto layer_outputs = [&](Backend& backend) {
    std::vector<float> all;
    Session session(model, backend, {.context = 40, .kv = KvType::f32});
    session.observe([&](int64_t layer, std::span<const float> hidden) {
      if (layer == 1) all.insert(all.end(), hidden.begin(), hidden.end());
    });
    std::vector<text::TokenId> ids(37);
    std::iota(ids.begin(), ids.end(), 3);
    session.feed(std::span(ids).first(36));
    session.feed(std::span(ids).last(1));
    return all;
  };
  const std::vector<float> expected = layer_outputs(*make_backend("cpu"));
  const std::vector<float> found = layer_outputs(*backend_);
  ASSERT_EQ(found.size(), expected.size());
  float largest = 0.0F;
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], 3e-4F) << i;
    largest = std::max(largest, std::fabs(expected[i]));
  }
  EXPECT_GT(largest, 1.0F);  // 3e-4 is little
}

// README tolerance: f32 rtol 1e-5, atol 1e-6.
TEST_P(BackendTest, RmsNormAgreesWithGolden) {
  const auto golden = test::open_golden("primitives/rmsnorm.safetensors");
  size_t cases = 0;
  for (const std::string& name : test::golden_cases(golden, "y")) {
    if (golden.at(name + ".x").dtype != DType::f32) continue;
    SCOPED_TRACE(name);
    ++cases;
    const std::vector<float> weight = golden.read<float>(name + ".weight");
    const std::vector<float> x_values = golden.read<float>(name + ".x");
    const auto rows = static_cast<int64_t>(x_values.size() / weight.size());
    const Tensor x = upload(x_values, rows);
    ops::rms_norm(*backend_, x, weight, static_cast<float>(golden.read<double>(name + ".eps")[0]), x);
    const std::vector<float> expected = golden.read<float>(name + ".y");
    const std::vector<float> found = download(x);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-6F + 1e-5F * std::fabs(expected[i])) << i;
    }
  }
  EXPECT_EQ(cases, 8U);
}

// README tolerance: rtol 1e-6, atol 1e-37.
TEST_P(BackendTest, SquaredReluAgreesWithGolden) {
  const auto golden = test::open_golden("primitives/relu2.safetensors");
  for (const std::string& name : test::golden_cases(golden, "relu2")) {
    if (golden.at(name + ".gate").dtype != DType::f32) continue;
    const Tensor x = upload(golden.read<float>(name + ".gate"), 1);
    ops::activation(*backend_, x, Activation::relu2, 0.0F, x);
    const std::vector<float> expected = golden.read<float>(name + ".relu2");
    const std::vector<float> found = download(x);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-37F + 1e-6F * expected[i]) << name << " " << i;
    }
  }
}

TEST_P(BackendTest, ReluAndSign) {
  const std::vector<float> values = {-2.0F, -0.5F, 0.0F, 0.5F, 0.75F};
  const Tensor x = upload(values, 1);
  const Tensor y = backend_->allocate(1, 5);
  ops::activation(*backend_, x, Activation::relu, 0.0F, y);
  EXPECT_EQ(download(y), (std::vector<float>{0, 0, 0, 0.5F, 0.75F}));
  ops::activation(*backend_, x, Activation::sign, 0.5F, y);
  EXPECT_EQ(download(y), (std::vector<float>{-1, 0, 0, 0, 1}));
}

TEST_P(BackendTest, TernaryActivationsGiveExactSums) {
  test::Random random;
  const auto weights = random.trits(20 * 45);
  std::vector<uint8_t> tiles(tile_bytes(20, 45));
  pack_tiles(weights, 20, 45, tiles);
  LinearWeights linear;
  linear.rows = 20;
  linear.cols = 45;
  linear.ternary = {20, 45, 0.5F, tiles};
  linear.activation_quantization = ActivationQuantization::ternary_threshold;
  linear.ternary_threshold = 0.4F;
  const std::vector<float> bias = random.normals(20);
  linear.bias = bias;
  const std::vector<float> x_values = random.normals(3 * 45);
  const Tensor x = upload(x_values, 3);
  const Tensor y = backend_->allocate(3, 20);
  ops::linear(*backend_, x, linear, y);
  const std::vector<float> found = download(y);
  for (size_t b = 0; b < 3; ++b) {
    for (size_t r = 0; r < 20; ++r) {
      int sum = 0;
      for (size_t c = 0; c < 45; ++c) {
        const float v = x_values[b * 45 + c];
        sum += weights[r * 45 + c] * (v > 0.4F ? 1 : v < -0.4F ? -1 : 0);
      }
      EXPECT_EQ(found[b * 20 + r], static_cast<float>(sum) * 0.5F + bias[r]);
    }
  }
}

TEST(BackendRegistry, EnvironmentForcesABackendOrFails) {
  setenv("ROTOR_BACKEND", "abacus", 1);
  test::expect_error([] { make_backend(); }, {"ROTOR_BACKEND", "cpu", "abacus"});
  unsetenv("ROTOR_BACKEND");
  test::expect_error([] { make_backend("abacus"); }, {"--backend", "abacus"});
  EXPECT_EQ(make_backend()->name(), "cpu");
}

TEST(OpsDeathTest, WrongShapesAbort) {
  const auto backend = make_backend("cpu");
  const Tensor a = backend->allocate(1, 3);
  const Tensor b = backend->allocate(1, 4);
  EXPECT_DEATH(ops::activation(*backend, a, Activation::relu, 0.0F, b), "broken invariant");
  EXPECT_DEATH(ops::activation(*backend, a, Activation::gelu, 0.0F, a), "activation: no gelu");
}

}  // namespace
}  // namespace rotor::runtime
