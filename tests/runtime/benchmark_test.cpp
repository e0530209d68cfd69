// What `rotor bench` measures: that every figure is there and belongs to what was asked; speed itself is
// never a test.
#include "runtime/engine/benchmark.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "runtime/engine/synthetic_model.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

TEST(SyntheticModel, ShapesAreThePublishedOnes) {
  // Parameters as their model cards say; ternary weights of 2B-4T: SPECS.md section 1.
  EXPECT_EQ(num_parameters(tensor_table(published_shape("bitnet-2b-4t"))), 2'412'820'480);
  EXPECT_EQ(num_parameters(tensor_table(published_shape("llama3-8b-1.58"))), 8'030'261'248);
  EXPECT_EQ(published_shape("bitnet-2b-4t").transformer.key_value_size(), 640);
  test::expect_error([] { published_shape("gpt-5"); }, {"bitnet-2b-4t", "bitnet-700m", "gpt-5"});
}

TEST(SyntheticModel, IsASoundFileOfEqualShares) {
  const test::TempDir dir;
  for (const char* type : {"bitnet", "llama"}) {
    int64_t tensors = 0;
    write_synthetic_model(dir.file("m.rotor"), test::small_transformer(type), DenseType::q8,
                          [&](int64_t done, int64_t total) {
                            EXPECT_EQ(done, ++tensors);
                            EXPECT_LE(done, total);
                          });
    const RotorFile file(dir.file("m.rotor"));
    EXPECT_TRUE(file.verify().empty());
    EXPECT_EQ(tensors, static_cast<int64_t>(tensor_table(file.config()).size()));
    const TernaryMatrix matrix = file.ternary("model.layers.0.mlp.up_proj.weight");
    const TritCounts counts =
        count_trits(matrix.tiles, static_cast<size_t>(matrix.rows), static_cast<size_t>(matrix.cols));
    EXPECT_GT(counts.minus, counts.zero / 5);
    EXPECT_GT(counts.plus, counts.zero / 5);
  }
}

TEST(Benchmark, BytesPerTokenAreTheTensorsThatDecodingReads) {
  const test::TempDir dir;
  for (const char* type : {"bitnet", "llama"}) {  // tied and untied
    const ModelConfig config = test::small_transformer(type);
    test::write_random_model(dir.file("m.rotor"), config, 1, DenseType::f32);
    const RotorFile file(dir.file("m.rotor"));
    int64_t bytes = 0;
    for (const TensorInfo& tensor : file.container().tensors()) {
      const bool unread =
          !config.transformer.tie_word_embeddings && tensor.name == "model.embed_tokens.weight";
      if (!tensor.name.starts_with(kPaddingPrefix) && !unread) bytes += tensor.end - tensor.begin;
    }
    EXPECT_EQ(weight_bytes_per_token(file), bytes);
  }
}

TEST(Benchmark, MeasuresWhatIsAskedFor) {
  const test::TempDir dir;
  test::write_random_model(dir.file("m.rotor"), test::small_transformer());
  const LanguageModel model(dir.file("m.rotor"), {.threads = 2});
  BenchmarkOptions options;
  options.prompt_tokens = 9;
  options.decode_tokens = 4;
  options.depth = 3;
  options.repetitions = 3;
  options.measure_bandwidth = false;
  int64_t steps = 0;
  options.keep_going = [&](int64_t done, int64_t total) {
    EXPECT_EQ(done, steps++);
    EXPECT_EQ(total, 4);
    return true;
  };
  const BenchmarkResult result = run_benchmark(model, options);
  EXPECT_EQ(steps, 4);
  EXPECT_EQ(result.prompt_tokens_per_second.values.size(), 3U);
  EXPECT_EQ(result.decode_tokens_per_second.values.size(), 3U);
  EXPECT_GT(result.decode_tokens_per_second.median(), 0.0);
  EXPECT_NEAR(result.first_token_seconds.values[0] * result.prompt_tokens_per_second.values[0], 9.0, 1e-9);
  EXPECT_TRUE(result.bandwidth_share().values.empty());
  // 3 layers of 20 columns of keys and as many of values, in 16 bits, of 3 + 4 / 2 tokens.
  EXPECT_EQ(result.bytes_per_token - weight_bytes_per_token(model.file()), 2 * 3 * 20 * 2 * 5);
  options.prompt_tokens = 0;
  options.keep_going = [](int64_t done, int64_t) { return done < 2; };
  const BenchmarkResult stopped = run_benchmark(model, options);
  EXPECT_TRUE(stopped.prompt_tokens_per_second.values.empty());
  EXPECT_EQ(stopped.decode_tokens_per_second.values.size(), 1U);
}

TEST(Benchmark, MedianAndSpread) {
  const Sample sample{{4, 1, 3, 2, 100}};
  EXPECT_EQ(sample.median(), 3);
  EXPECT_DOUBLE_EQ(sample.spread(), (4.0 - 2.0) / 2 / 3);
  EXPECT_EQ(Sample{}.median(), 0);
}

TEST(Benchmark, ReadBandwidthIsMeasured) {
  for (const std::string& name : backend_names()) {
    const double bandwidth = make_backend(name, 2)->measure_read_bandwidth();
    EXPECT_GT(bandwidth, 1e6);
    EXPECT_LT(bandwidth, 1e14);
  }
}

}  // namespace
}  // namespace rotor::runtime
