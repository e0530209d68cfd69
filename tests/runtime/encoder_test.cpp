// Sentence encoders against transformers (tests/golden/bert-tiny), on every kernel set; their ops against
// plain formulas; texts alone, together, cut, and from several threads.
#include "runtime/model/encoder.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/rotor_source.h"
#include "runtime/backends/cpu/memory.h"
#include "runtime/engine/embedding_model.h"
#include "runtime/engine/language_embeddings.h"
#include "runtime/model/transformer.h"
#include "tests/kernels/kernel_set_test.h"
#include "tests/support/chat_model.h"
#include "tests/support/encoders.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using test::expect_error;
using test::TempDir;

// What the golden values allow (README there): transformers' own float32 differs from its float64 by 2e-6 in
// hidden states and by 1.6e-7 in vectors; another order of sums by some times that.
constexpr float kHiddenTolerance = 1.6e-5F;
constexpr float kVectorTolerance = 1.3e-6F;
// With weights that are rounded to int8 there as here, what is left is the rounding of activations to int16,
// 1/65534 of the largest: 1.5e-5 of a unit a layer and input, over 2 layers of 4 inputs.
constexpr float kInt8Tolerance = 2e-4F;

void expect_near(std::span<const float> found, std::span<const float> expected, float tolerance) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], tolerance) << i;
}

std::vector<float> golden_floats(const std::string& name) {
  const SafetensorsFile golden = test::open_golden("bert-tiny/expected.safetensors");
  return golden.read_as_float(golden.at(name));
}

/// Ids of all golden texts, one after another, and how many each has.
struct GoldenIds {
  std::vector<int32_t> ids;
  std::vector<int64_t> lengths;

  GoldenIds() {
    const SafetensorsFile golden = test::open_golden("bert-tiny/expected.safetensors");
    for (size_t k = 0; golden.find(cat("ids.", k)) != nullptr; ++k) {
      const auto text = golden.read<int32_t>(cat("ids.", k));
      ids.insert(ids.end(), text.begin(), text.end());
      lengths.push_back(std::ssize(text));
    }
  }
};

std::vector<float> run(const std::string& path, CpuCompute& compute, const Encoder::Observer& observer = {}) {
  const RotorFile file(path);
  const Encoder encoder(file);
  const GoldenIds golden;
  auto workspace = encoder.make_workspace(std::ssize(golden.ids));
  std::vector<float> vectors(golden.lengths.size() * static_cast<size_t>(encoder.config().hidden_size));
  encoder.forward(compute, workspace, golden.ids, golden.lengths, vectors, observer);
  return vectors;
}

class EncoderKernels : public kernels::KernelSetTest {
 protected:
  CpuCompute compute_{2, kernels_};
};

INSTANTIATE_TEST_SUITE_P(Sets, EncoderKernels, ::testing::ValuesIn(kernels::runnable_sets()),
                         [](const auto& param) { return param.param; });

TEST_P(EncoderKernels, GoldenVectorsAndHiddenStates) {
  const TempDir dir;
  test::write_golden_encoder(dir.file("m.rotor"));
  std::map<int64_t, std::vector<float>> hidden;
  const auto before = kernels_.calls();
  const auto vectors = run(dir.file("m.rotor"), compute_, [&](int64_t layer, std::span<const float> states) {
    hidden[layer].assign(states.begin(), states.end());
  });
  EXPECT_GT(kernels_.calls(), before);
  expect_near(vectors, golden_floats("mean.normalized"), kVectorTolerance);
  ASSERT_EQ(hidden.size(), 3U);
  const GoldenIds golden;
  for (const size_t k : {size_t{2}, size_t{6}}) {
    const auto first =
        std::accumulate(golden.lengths.begin(), golden.lengths.begin() + static_cast<long>(k), int64_t{0});
    for (const auto& [layer, states] : hidden) {
      SCOPED_TRACE(cat("layer ", layer, ", text ", k));
      const auto text = std::span(states).subspan(static_cast<size_t>(first) * 36,
                                                  static_cast<size_t>(golden.lengths[k]) * 36);
      expect_near(text, golden_floats(cat("hidden.", layer, ".", k)), kHiddenTolerance);
    }
  }
}

TEST_P(EncoderKernels, GoldenVectorsInInt8) {
  const TempDir dir;
  test::write_golden_encoder(dir.file("m.rotor"), DenseType::q8, DenseType::q8);
  const auto vectors = run(dir.file("m.rotor"), compute_);
  expect_near(vectors, golden_floats("q8.mean.normalized"), kInt8Tolerance);
  CpuCompute scalar(1, kernels::find_kernels("scalar"));
  EXPECT_EQ(vectors, run(dir.file("m.rotor"), scalar)) << "sets and threads change nothing";
  test::write_golden_encoder(dir.file("m.rotor"), DenseType::f16, DenseType::f16);
  const auto halves = run(dir.file("m.rotor"), compute_);
  EXPECT_EQ(halves, run(dir.file("m.rotor"), scalar));
  expect_near(halves, golden_floats("mean.normalized"), 2e-3F);  // 11 bits of weights, like 8 of q8
}

TEST_P(EncoderKernels, OpsAgreeWithFormulas) {
  test::Random random(5);
  for (const int64_t cols : {1, 2, 15, 16, 17, 36, 384}) {
    SCOPED_TRACE(cols);
    const auto count = static_cast<size_t>(cols);
    const auto x = random.normals(3 * count);
    const auto gain = random.normals(count);
    const auto bias = random.normals(count);
    const Tensor y = cpu_tensor(3, cols);
    std::ranges::copy(x, data(y));
    cpu_layer_norm(compute_, y, gain, bias, 1e-3F);
    for (size_t r = 0; r < 3; ++r) {
      double mean = 0;
      double variance = 0;
      for (size_t c = 0; c < count; ++c)
        mean += static_cast<double>(x[r * count + c]) / static_cast<double>(cols);
      for (size_t c = 0; c < count; ++c)
        variance += std::pow(static_cast<double>(x[r * count + c]) - mean, 2) / static_cast<double>(cols);
      for (size_t c = 0; c < count; ++c) {
        const double expected = (static_cast<double>(x[r * count + c]) - mean) / std::sqrt(variance + 1e-3) *
                                    static_cast<double>(gain[c]) +
                                static_cast<double>(bias[c]);
        // The mean is rounded to float32 once, what follows four times.
        ASSERT_NEAR(data(y)[r * count + c], expected, 5e-6 * (1 + std::fabs(expected)));
      }
    }
  }
  const Tensor values = cpu_tensor(1, 4001);
  for (int i = 0; i <= 4000; ++i) data(values)[i] = static_cast<float>(i - 2000) / 200.0F;
  cpu_gelu(compute_, values);
  for (int i = 0; i <= 4000; ++i) {
    const double x = (i - 2000) / 200.0;
    ASSERT_NEAR(data(values)[i], 0.5 * x * (1 + std::erf(x / std::sqrt(2.0))),
                4e-7 * std::max(1.0, std::fabs(x)));
  }
}

TEST_P(EncoderKernels, AttentionStaysWithinATextAndSeesAllOfIt) {
  test::Random random(9);
  const std::vector<int64_t> lengths = {1, 5, 33};
  const int64_t heads = 3;
  const int64_t dim = 12;
  std::vector<Tensor> qkv;
  for (int i = 0; i < 3; ++i) {
    qkv.push_back(cpu_tensor(39, heads * dim));
    std::ranges::copy(random.normals(39 * 36), data(qkv.back()));
  }
  const Tensor y = cpu_tensor(39, heads * dim);
  cpu_full_attention(compute_, qkv[0], qkv[1], qkv[2], lengths, heads, y);
  const auto at = [&](int which, int64_t t, int64_t c) {
    return static_cast<double>(row(qkv[static_cast<size_t>(which)], t)[c]);
  };
  int64_t first = 0;
  for (const int64_t length : lengths) {
    for (int64_t t = first; t < first + length; ++t) {
      for (int64_t h = 0; h < heads; ++h) {
        std::vector<double> weights;
        double sum = 0;
        for (int64_t s = first; s < first + length; ++s) {
          double score = 0;
          for (int64_t c = h * dim; c < (h + 1) * dim; ++c) score += at(0, t, c) * at(1, s, c);
          weights.push_back(std::exp(score / std::sqrt(static_cast<double>(dim))));
          sum += weights.back();
        }
        for (int64_t c = h * dim; c < (h + 1) * dim; ++c) {
          double expected = 0;
          for (int64_t s = 0; s < length; ++s)
            expected += weights[static_cast<size_t>(s)] / sum * at(2, first + s, c);
          // Scores up to 20 are off by 20 * 2^-22, and so are weights.
          ASSERT_NEAR(row(y, t)[c], expected, 2e-5);
        }
      }
    }
    first += length;
  }
}

TEST(Encoder, OtherPooling) {
  const TempDir dir;
  CpuCompute compute(1);
  test::write_golden_bert(dir.file("m"));
  const auto vectors = [&](const std::string& pooling, bool normalize) {
    test::write_bytes(dir.file("m/1_Pooling/config.json"), R"({"pooling_mode": ")" + pooling + "\"}");
    std::string modules = test::read_bytes(test::golden_path("bert-tiny/modules.json"));
    if (!normalize) modules = modules.substr(0, modules.rfind(",\n  {")) + "]";
    test::write_bytes(dir.file("m/modules.json"), modules);
    test::export_encoder(dir.file("m"), dir.file("m.rotor"));
    return run(dir.file("m.rotor"), compute);
  };
  expect_near(vectors("mean", true), golden_floats("mean.normalized"), kVectorTolerance);
  expect_near(vectors("mean", false), golden_floats("mean"), kHiddenTolerance);
  expect_near(vectors("cls", true), golden_floats("cls.normalized"), kHiddenTolerance);
  expect_near(vectors("cls", false), golden_floats("cls"), kHiddenTolerance);
}

class EmbeddingModelTest : public ::testing::Test {
 protected:
  EmbeddingModelTest() { test::write_golden_encoder(path(), DenseType::q8, DenseType::q8); }
  std::string path() const { return dir_.file("m.rotor"); }
  TempDir dir_;
};

TEST_F(EmbeddingModelTest, GoldenTexts) {
  test::write_golden_encoder(dir_.file("f32.rotor"));
  const EmbeddingModel model(dir_.file("f32.rotor"));
  EXPECT_EQ(model.dimensions(), 36);
  EXPECT_EQ(model.max_tokens(), 24);
  EXPECT_EQ(model.id(), embedding_fingerprint(model.file()));
  EXPECT_NE(model.id(), EmbeddingModel(path()).id());
  const auto texts = test::golden_bert_texts();
  std::vector<EmbeddedText> details;
  expect_near(model.embed(texts, {}, &details), golden_floats("mean.normalized"), kVectorTolerance);
  const GoldenIds golden;
  ASSERT_EQ(details.size(), texts.size());
  size_t cut = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(details[i].cut, details[i].tokens > 24) << i;
    EXPECT_EQ(std::min<int64_t>(details[i].tokens, 24), golden.lengths[i]) << i;
    cut += details[i].cut ? 1 : 0;
  }
  EXPECT_GT(cut, 0U);
  EXPECT_EQ(details.back().tokens, 2) << "the empty text has [CLS] and [SEP]";
}

TEST_F(EmbeddingModelTest, TogetherAsAlone) {
  const EmbeddingModel model(path(), {.threads = 2});
  std::vector<std::string> texts;
  for (int i = 0; i < 8; ++i) {  // more tokens than a step takes
    for (const std::string& text : test::golden_bert_texts())
      texts.push_back(text + std::string(static_cast<size_t>(i), 'a'));
  }
  const auto together = model.embed(texts);
  const EmbeddingModel one(path(), {.threads = 1});
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto alone = one.embed({&texts[i], 1});
    ASSERT_EQ(alone, std::vector<float>(together.begin() + static_cast<long>(i) * 36,
                                        together.begin() + static_cast<long>(i + 1) * 36))
        << texts[i];
  }
  EXPECT_TRUE(model.embed({}).empty());
}

TEST_F(EmbeddingModelTest, SpecialTokensInTextsAreText) {
  const EmbeddingModel model(path());
  const std::vector<std::string> texts = {"a [SEP] b", "a", "a b"};
  std::vector<EmbeddedText> details;
  static_cast<void>(model.embed(texts, {}, &details));
  EXPECT_GT(details[0].tokens, details[2].tokens + 1) << "brackets and letters, not one token";
}

TEST_F(EmbeddingModelTest, StopsWhereItIsTold) {
  const EmbeddingModel model(path());
  const std::vector<std::string> texts(100, "the quick brown fox jumps over the lazy dog");
  std::vector<int64_t> seen;
  std::vector<EmbeddedText> details;
  const auto part = model.embed(
      texts,
      [&](int64_t done) {
        seen.push_back(done);
        return seen.size() < 2;
      },
      &details);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(details.size(), static_cast<size_t>(seen.back()));
  EXPECT_EQ(part.size(), details.size() * 36);
  EXPECT_LT(details.size(), texts.size());
  const auto all = model.embed(texts);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin()));
}

TEST_F(EmbeddingModelTest, ManyCallersAtOnce) {
  const EmbeddingModel model(path(), {.threads = 2});
  const auto texts = test::golden_bert_texts();
  const auto expected = model.embed(texts);
  std::array<bool, 4> equal{};
  {
    std::vector<std::jthread> callers;
    for (bool& result : equal) {
      callers.emplace_back([&] {
        result = true;
        for (int i = 0; i < 5; ++i) result = result && model.embed(texts) == expected;
      });
    }
  }
  for (const bool result : equal) EXPECT_TRUE(result);
}

TEST_F(EmbeddingModelTest, BadFiles) {
  const TempDir dir;
  test::write_random_model(dir.file("mlp.rotor"), test::small_mlp());
  expect_error([&] { static_cast<void>(EmbeddingModel(dir.file("mlp.rotor"))); },
               {"mlp.rotor: expected a sentence encoder (model_type bert), found mlp"});
  const RotorFile file(path());
  expect_error([&] { static_cast<void>(Transformer(file)); },
               {"expected a language model", "found a sentence encoder (bert): rotor embed"});
  RotorWriter writer(dir.file("none.rotor"), file.config());
  for (const TensorSpec& spec : tensor_table(file.config())) {
    writer.write_floats(spec.name, std::vector<float>(static_cast<size_t>(num_parameters({spec}))));
  }
  writer.commit();
  expect_error([&] { static_cast<void>(EmbeddingModel(dir.file("none.rotor"))); },
               {"none.rotor: the file holds no tokenizer"});
  const auto write_model = [&](const text::Tokenizer& tokenizer, float gain) {
    RotorWriter other(dir.file("other.rotor"), file.config(), {}, tokenizer.attachments());
    const RotorSource source(path());
    for (const TensorSpec& spec : tensor_table(file.config())) {
      std::vector<float> values = source.tensor(spec);
      if (spec.name == "encoder.layer.1.output.LayerNorm.weight") std::ranges::fill(values, gain);
      other.write_floats(spec.name, values);
    }
    other.commit();
  };
  const std::vector<std::string> texts = {"a cat"};
  write_model(*text::tokenizer_of(file), 3e38F);  // finite; more than once that is not
  const EmbeddingModel wild(dir.file("other.rotor"));
  expect_error([&] { static_cast<void>(wild.embed(texts)); }, {"other.rotor: vector of a text", "finite"});
  write_model(*text::load_tokenizer(test::golden_path("tokenizers/nfc-tokenizer.json")), 1.0F);
  expect_error([&] { static_cast<void>(EmbeddingModel(dir.file("other.rotor"))); },
               {"other.rotor: expected a WordPiece tokenizer of at most 528 tokens", "found byte_level_bpe"});
  std::string bytes = test::read_bytes(path());
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  test::write_bytes(dir.file("flipped.rotor"), bytes);
  expect_error([&] { static_cast<void>(EmbeddingModel(dir.file("flipped.rotor"), {.check = true})); },
               {"flipped.rotor: tensor", "checksum"});
  const auto size = static_cast<uintmax_t>(bytes.size());
  for (const uintmax_t length : {size - 1, size / 2, uintmax_t{5000}, uintmax_t{100}, uintmax_t{0}}) {
    std::filesystem::copy_file(path(), dir.file("cut.rotor"),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(dir.file("cut.rotor"), length);
    expect_error([&] { static_cast<void>(EmbeddingModel(dir.file("cut.rotor"))); }, {"cut.rotor"});
  }
}

TEST_F(EmbeddingModelTest, AFileThatShrinksMeanwhile) {
  const EmbeddingModel model(path());
  std::filesystem::resize_file(path(), 8192);
  const std::vector<std::string> texts = {"a cat"};
  expect_error([&] { static_cast<void>(model.embed(texts)); }, {"m.rotor"});
}

// As POST /v1/embeddings has them: of a Batcher that is asked for one text.
TEST(LanguageEmbeddings, AreThoseOfABatcher) {
  const TempDir dir;
  test::write_chat_model(dir.file("m.rotor"), 64);
  const LanguageModel model(dir.file("m.rotor"), {.backend = "cpu", .threads = 2});
  std::vector<std::string> texts;
  for (int i = 0; i < 50; ++i) texts.push_back("abc <|end|> " + std::string(static_cast<size_t>(i), 'b'));
  std::vector<EmbeddedText> details;
  std::vector<int64_t> seen;
  const auto vectors = embed_by_language_model(
      model, {}, texts, [&](int64_t done) { return seen.push_back(done), true; }, &details);
  const auto width = static_cast<size_t>(model.config().hidden_size);
  ASSERT_EQ(vectors.size(), texts.size() * width);
  ASSERT_EQ(details.size(), texts.size());
  EXPECT_TRUE(std::ranges::is_sorted(seen));
  Batcher batcher(model, {.session = {.context = 64}});
  for (const size_t i : {size_t{0}, size_t{7}, size_t{49}}) {
    BatchRequest request;
    request.prompt = model.tokenizer()->encode(texts[i], text::SpecialTokens::as_text);
    if (model.bos()) request.prompt.insert(request.prompt.begin(), *model.bos());
    EXPECT_EQ(details[i].tokens, std::ssize(request.prompt));
    request.max_new_tokens = 0;
    request.embed = true;
    const auto text = batcher.submit(std::move(request));
    BatchProgress progress;
    while (!progress.finished) progress = text->wait(std::chrono::milliseconds(100));
    EXPECT_EQ(progress.embedding, std::vector<float>(vectors.begin() + static_cast<long>(i * width),
                                                     vectors.begin() + static_cast<long>((i + 1) * width)));
  }
  texts[3] = std::string(100, 'x');
  expect_error([&] { static_cast<void>(embed_by_language_model(model, {}, texts)); },
               {"text 4: expected at most 64 tokens", "found 100"});
  const auto part = embed_by_language_model(
      model, {}, {texts.data(), 3}, [](int64_t) { return false; }, &details);
  EXPECT_EQ(part.size(), details.size() * width);
  EXPECT_LT(details.size(), 3U);
}

}  // namespace
}  // namespace rotor::runtime
