// The packed network against a reference written here from the formulas alone, and the engine's batches and
// threads.
#include "runtime/engine/classifier.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"
#include "tests/support/models.h"
#include "tests/support/pretend_device.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::TempDir;

/// The forward pass of one image in double, with no kernel, op or quantizer of the project.
std::vector<double> reference_logits(const RotorFile& file, const uint8_t* pixels) {
  const ModelConfig& config = file.config();
  const MlpConfig& mlp = config.mlp;
  std::vector<double> x;
  for (int64_t i = 0; i < mlp.layer_sizes[0]; ++i)
    x.push_back((pixels[i] / 255.0 - mlp.input_mean) / mlp.input_std);
  for (int64_t layer = 0; layer < mlp.num_layers(); ++layer) {
    const std::string prefix = cat("layers.", layer, ".");
    const auto rows = static_cast<size_t>(mlp.layer_sizes[static_cast<size_t>(layer) + 1]);
    const auto cols = x.size();
    std::vector<double> weights(rows * cols);
    if (config.quantization == Quantization::ternary) {
      const TernaryMatrix matrix = file.ternary(prefix + "linear.weight");
      std::vector<int8_t> trits(rows * cols);
      unpack_tiles(matrix.tiles, rows, cols, trits);
      for (size_t i = 0; i < trits.size(); ++i) weights[i] = trits[i] * static_cast<double>(matrix.scale);
      double largest = 1e-5;
      for (const double v : x) largest = std::max(largest, std::fabs(v));
      for (double& v : x) {
        v = mlp.activation == Activation::sign ? (v > mlp.sign_threshold    ? 1.0
                                                  : v < -mlp.sign_threshold ? -1.0
                                                                            : 0.0)
                                               : std::nearbyint(v * 127 / largest) * largest / 127;
      }
    } else {
      const auto floats = file.floats(prefix + "linear.weight");
      weights.assign(floats.begin(), floats.end());
    }
    std::vector<double> y(rows);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t c = 0; c < cols; ++c) y[r] += weights[r * cols + c] * x[c];
      if (mlp.bias) y[r] += static_cast<double>(file.floats(prefix + "linear.bias")[r]);
    }
    if (layer + 1 < mlp.num_layers()) {
      double square = 0;
      for (const double v : y) square += v * v / static_cast<double>(rows);
      for (size_t r = 0; r < rows; ++r) {
        y[r] *=
            static_cast<double>(file.floats(prefix + "norm.weight")[r]) / std::sqrt(square + mlp.norm_eps);
        const double positive = std::max(y[r], 0.0);
        if (mlp.activation == Activation::relu) y[r] = positive;
        if (mlp.activation == Activation::relu2) y[r] = positive * positive;
        if (mlp.activation == Activation::sign && config.quantization == Quantization::none) {
          y[r] = y[r] > mlp.sign_threshold ? 1.0 : y[r] < -mlp.sign_threshold ? -1.0 : 0.0;
        }
      }
    }
    x = y;
  }
  return x;
}

class MlpTest : public ::testing::TestWithParam<std::pair<Activation, Quantization>> {};

INSTANTIATE_TEST_SUITE_P(Kinds, MlpTest, ::testing::ValuesIn(test::mlp_kinds()),
                         [](const auto& param) { return test::kind_name(param.param); });

TEST_P(MlpTest, AgreesWithTheFormulas) {
  const TempDir dir;
  test::write_random_model(dir.file("m.rotor"), test::small_mlp(GetParam().first, GetParam().second));
  test::write_idx_dataset(dir.path(), 1, 200);
  const RotorFile file(dir.file("m.rotor"));
  const IdxDataset data = load_idx(dir.path(), IdxSplit::test);
  const Classifier classifier(file);
  for (const auto& entry : kernels::registered_sets()) {
    if (!entry.set->supported()) continue;
    SCOPED_TRACE(entry.set->name);
    setenv("ROTOR_KERNELS", entry.set->name, 1);
    const auto backend = make_backend("cpu");
    unsetenv("ROTOR_KERNELS");
    const uint64_t calls_before = entry.calls.load();
    auto workspace = classifier.model().make_workspace(*backend, 1);
    const std::vector<float> table = pixel_table(file.config().mlp);
    int rounding_flips = 0;
    for (size_t i = 0; i < data.count; ++i) {
      const uint8_t* pixels = data.pixels.data() + i * data.image_size();
      std::vector<float> input;
      for (size_t p = 0; p < data.image_size(); ++p) input.push_back(table[pixels[p]]);
      backend->upload(input, workspace.input);
      std::vector<float> logits(10);
      backend->download(classifier.model().forward(*backend, workspace), logits);
      const std::vector<double> expected = reference_logits(file, pixels);
      double largest = 0;
      double difference = 0;
      for (size_t k = 0; k < 10; ++k) {
        largest = std::max(largest, std::fabs(expected[k]));
        difference = std::max(difference, std::fabs(expected[k] - static_cast<double>(logits[k])));
      }
      // Float against double: about 1e-6. A value on the other side of a .5 tie moves the logits by a step of
      // int8.
      if (difference > 1e-5 * largest) ++rounding_flips;
      EXPECT_LT(difference, 0.1 * largest);
    }
    EXPECT_LE(rounding_flips,
              4);  // 200 images x 119 quantized values, a tie within 1e-6 each about once in 1e4
    EXPECT_GT(entry.calls.load(), calls_before) << "these kernels were not used";
  }
}

class ClassifierTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_random_model(path_, test::small_mlp());
    test::write_idx_dataset(dir_.path(), 1, 333);
    data_ = load_idx(dir_.path(), IdxSplit::test);
  }

  TempDir dir_;
  std::string path_ = dir_.file("m.rotor");
  IdxDataset data_;
};

TEST_F(ClassifierTest, BatchesAndThreadsChangeNothing) {
  const RotorFile file(path_);
  const Classifier classifier(file);
  const auto backend = make_backend();
  const auto expected = classifier.predict(*backend, data_.pixels.data(), 333, 1);
  for (const int64_t batch : {1, 7, 32, 1000}) {
    EXPECT_EQ(classifier.predict(*backend, data_.pixels.data(), 333, batch), expected);
    for (const int64_t threads : {1, 3, 50}) {
      const ClassifyResult result =
          classifier.evaluate(*backend, data_, {.batch = batch, .threads = threads});
      EXPECT_EQ(result.predictions, expected);
      EXPECT_EQ(result.total, 333);
      int64_t correct = 0;
      int64_t sum = 0;
      for (size_t i = 0; i < data_.count; ++i) correct += expected[i] == data_.labels[i];
      for (const auto& row : result.confusion) {
        for (const int64_t count : row) sum += count;
      }
      EXPECT_EQ(result.correct, correct);
      EXPECT_EQ(sum, 333);
    }
  }
}

TEST_F(ClassifierTest, ADeviceHoldsAllWeightsMeanwhile) {
  for (const auto& [activation, quantization] : test::mlp_kinds()) {
    SCOPED_TRACE(test::kind_name({activation, quantization}));
    test::write_random_model(path_, test::small_mlp(activation, quantization));
    const RotorFile file(path_);
    const Classifier classifier(file);
    test::PretendDevice device({});  // throws if an op is given what is not held
    const auto expected = classifier.predict(*make_backend("cpu"), data_.pixels.data(), 333);
    EXPECT_EQ(classifier.predict(device, data_.pixels.data(), 333), expected);
    EXPECT_EQ(classifier.evaluate(device, data_, {}).predictions, expected);
    uint64_t weights = 0;
    for (const WeightBytes& part : classifier.model().weights()) weights += part.bytes.size();
    EXPECT_GT(weights, 0U);
    EXPECT_GT(device.counts().most_bytes, weights);
    EXPECT_EQ(device.counts().bytes, 0U);
  }
}

TEST_F(ClassifierTest, StopsWhenAsked) {
  const RotorFile file(path_);
  const Classifier classifier(file);
  const auto backend = make_backend();
  const auto result = classifier.evaluate(
      *backend, data_, {.batch = 10, .threads = 1, .on_progress = [](int64_t done) { return done < 50; }});
  EXPECT_EQ(result.total, 50);
}

TEST_F(ClassifierTest, ModelTruncatedWhileInUseIsAnError) {
  const RotorFile file(path_);
  const Classifier classifier(file);
  const auto backend = make_backend();
  ASSERT_EQ(truncate(path_.c_str(), 4096), 0);
  test::expect_error([&] { classifier.evaluate(*backend, data_, {}); }, {"truncated while it was in use"});
}

}  // namespace
}  // namespace rotor::runtime
