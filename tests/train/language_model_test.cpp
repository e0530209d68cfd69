// A language model from text to a packed model: training, checkpoints, resume, and the seams on the way.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "export/convert.h"
#include "rotor/formats/json.h"
#include "rotor/text/tokenizer.h"
#include "tests/seam/language_seam.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "train/trainer/trainer.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;

/// Sentences that a small model can learn.
std::string little_text(size_t sentences) {
  const std::vector<std::string> who = {"the cat", "the dog", "a bird", "the child"};
  const std::vector<std::string> what = {"sees", "finds", "wants", "hears"};
  test::Random random(5);
  std::string text;
  const auto pick = [&](const auto& words) { return words[static_cast<size_t>(random.integer(0, 3))]; };
  for (size_t i = 0; i < sentences; ++i) text += pick(who) + " " + pick(what) + " " + pick(who) + ".\n";
  return text;
}

class LanguageModelTest : public ::testing::Test {
 protected:
  void SetUp() override { test::write_bytes(data_, little_text(600)); }

  TrainConfig config(const std::string& run, const std::vector<std::string>& overrides = {}) const {
    const std::string text =
        "output_dir: " + dir_.file(run) +
        "\nthreads: 1\n"
        "model: {type: bitnet, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2,\n"
        "        num_attention_heads: 4, num_key_value_heads: 2, rope_theta: 10000}\n"
        "tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}\n"
        "data: {type: text, path: " +
        data_ +
        ", block_size: 32}\n"
        "train: {steps: 60, batch_size: 8, learning_rate: 1.0e-2, schedule: two_stage, warmup_steps: 5,\n"
        "        weight_decay: 0.1}\n"
        "eval: {every: 20}\n"
        "log: {every: 5, telemetry_every: 10}\n"
        "sample: {prompt: the, tokens: 12}\n";
    test::write_bytes(dir_.file(run + ".yaml"), text);
    return load_train_config(dir_.file(run + ".yaml"), overrides);
  }
  std::string weights(const std::string& run) const {
    return test::read_bytes(dir_.file(run + "/checkpoint/model.safetensors"));
  }
  std::vector<Json> metrics(const std::string& run) const {
    std::ifstream in(dir_.file(run + "/metrics.jsonl"));
    std::vector<Json> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(parse_json(line, "metrics.jsonl"));
      for (const char* key : {"tokens_per_second", "memory_bytes"}) lines.back().erase(key);
    }
    return lines;
  }

  TempDir dir_;
  std::string data_ = dir_.file("text.txt");
};

TEST_F(LanguageModelTest, LearnsAndWritesWhatItPromises) {
  Trainer trainer(config("run"), StartMode::fresh);
  EXPECT_TRUE(trainer.run());
  // Guessing among 20 characters has a loss of 3.0.
  EXPECT_LT(trainer.last_evaluation().loss, 1.6);
  EXPECT_GT(trainer.last_evaluation().accuracy(), 0.4);
  for (const char* file : {"config.json", "model.safetensors", "tokenizer.model", "optimizer.safetensors"}) {
    EXPECT_TRUE(fs::exists(dir_.file("run/checkpoint") + "/" + file)) << file;
  }
  size_t samples = 0;
  size_t telemetry = 0;
  for (const Json& line : metrics("run")) {
    if (line.contains("sample")) {
      EXPECT_TRUE(line["sample"].get<std::string>().starts_with("the"));
      ++samples;
    }
    if (line.contains("telemetry")) ++telemetry;
  }
  EXPECT_EQ(samples, 3U);
  EXPECT_EQ(telemetry, 6U);
  EXPECT_FALSE(fs::is_empty(dir_.file("run/tensorboard")));
  EXPECT_NO_THROW(load_train_config(dir_.file("run/config.yaml"), {}));
}

TEST_F(LanguageModelTest, ResumedRunEndsAsAnUnbrokenOne) {
  Trainer(config("whole"), StartMode::fresh).run();
  // A run that is broken off after an evaluation: its last checkpoint is that of step 40.
  Trainer(config("broken"), StartMode::fresh).run();
  fs::remove(dir_.file("broken/checkpoint"));
  fs::create_directory_symlink("checkpoints/step-40", dir_.file("broken/checkpoint"));
  Trainer resumed(config("broken"), StartMode::resume);
  EXPECT_TRUE(resumed.run());
  EXPECT_EQ(weights("broken"), weights("whole"));
  EXPECT_EQ(metrics("broken"), metrics("whole"));
}

TEST_F(LanguageModelTest, ASummedLossHasTheGradientOfAllTokens) {
  const auto first_step = [&](const std::string& loss, const std::string& accumulation) {
    const std::string run = loss + accumulation;
    Trainer(config(run, {"model.quantization=none", "train.steps=1", "log.every=1", "train.clip_norm=0",
                         "train.loss=" + loss, "train.accumulation=" + accumulation}),
            StartMode::fresh)
        .run();
    for (const Json& line : metrics(run)) {
      if (line.contains("grad_norm"))
        return std::pair(line["grad_norm"].get<double>(), line["loss"].get<double>());
    }
    return std::pair(0.0, 0.0);
  };
  const auto [mean, loss] = first_step("mean", "1");
  const auto tokens = static_cast<double>(config("x").batch_size * config("x").text.block_size);
  for (const char* accumulation : {"1", "4"}) {
    const auto [sum, same_loss] = first_step("sum", accumulation);
    EXPECT_NEAR(sum / mean, tokens, 1e-3 * tokens);
    EXPECT_NEAR(same_loss, loss, 1e-5) << "what is logged is the mean";
  }
}

TEST_F(LanguageModelTest, ResumesWithMomentsInBfloat16AndOnDisk) {
  const std::vector<std::string> lean = {"train.steps=20", "eval.every=10", "train.state_dtype=bfloat16"};
  std::vector<std::string> on_disk = lean;
  on_disk.emplace_back("train.state_on_disk=true");
  Trainer(config("memory", lean), StartMode::fresh).run();
  Trainer(config("disk", on_disk), StartMode::fresh).run();
  EXPECT_EQ(weights("disk"), weights("memory")) << "where moments lie changes nothing";
  fs::remove(dir_.file("disk/checkpoint"));
  fs::create_directory_symlink("checkpoints/step-10", dir_.file("disk/checkpoint"));
  EXPECT_TRUE(Trainer(config("disk", on_disk), StartMode::resume).run());
  EXPECT_EQ(weights("disk"), weights("memory"));
  expect_error(
      [&] {
        Trainer(config("disk", {"train.steps=20", "eval.every=10"}), StartMode::resume);
      },
      {"train.state_dtype: was bfloat16, is float32"});
}

TEST_F(LanguageModelTest, ResumeNamesTheKeysThatDiffer) {
  Trainer(config("run", {"train.steps=20"}), StartMode::fresh).run();
  expect_error(
      [&] {
        Trainer(config("run", {"train.steps=20", "train.batch_size=4", "model.hidden_act=relu"}),
                StartMode::resume);
      },
      {"another config", "model.hidden_act: was relu2, is relu", "train.batch_size: was 8, is 4"});
  EXPECT_NO_THROW(Trainer(config("run", {"train.steps=20", "log.every=3", "threads=2"}), StartMode::resume));
}

// Parts of a batch add up to the same gradients but for the order of sums; int8 rounding makes what follows
// chaotic, so the float twin is compared.
TEST_F(LanguageModelTest, AccumulationComputesTheSameStep) {
  const std::vector<std::string> base = {"model.quantization=none", "train.steps=3", "eval.every=3"};
  Trainer one(config("one", base), StartMode::fresh);
  one.run();
  std::vector<std::string> parts = base;
  parts.emplace_back("train.accumulation=4");
  Trainer four(config("four", parts), StartMode::fresh);
  four.run();
  EXPECT_NEAR(one.last_evaluation().loss, four.last_evaluation().loss, 1e-4);
}

TEST_F(LanguageModelTest, OtherKindsOfRunsLearn) {
  const auto loss = [&](const std::vector<std::string>& overrides) {
    Trainer trainer(config("run", overrides), StartMode::overwrite);
    trainer.run();
    return trainer.last_evaluation().loss;
  };
  EXPECT_LT(loss({"model.type=llama", "model.quantization=none"}), 1.6);
  EXPECT_LT(loss({"model.tie_word_embeddings=false", "model.lm_head=ternary"}), 2.0);
  EXPECT_LT(loss({"train.dtype=bfloat16", "train.activation_checkpointing=true"}), 1.8);
  EXPECT_LT(loss({"data.window=sequential", "train.schedule=cosine"}), 1.6);
  EXPECT_LT(loss({"tokenizer.model_type=bpe", "tokenizer.vocab_size=320", "tokenizer.byte_fallback=true"}),
            4.5);
}

TEST_F(LanguageModelTest, PackedDocumentsTrain) {
  std::string lines;
  for (int i = 0; i < 200; ++i)
    lines += dump_json({{"body", little_text(static_cast<size_t>(1 + i % 3))}}) + "\n";
  test::write_bytes(dir_.file("texts.jsonl"), lines);
  Trainer trainer(
      config("run", {"data.type=jsonl", "data.text_field=body", "data.path=" + dir_.file("texts.jsonl")}),
      StartMode::fresh);
  trainer.run();
  EXPECT_LT(trainer.last_evaluation().loss, 1.8);
}

// The module that was trained is the one that the checkpoint gives back, whatever the optimizer does to its
// weights.
TEST_F(LanguageModelTest, EvaluationIsThatOfTheCheckpoint) {
  for (const char* optimizer : {"adam", "adamw", "sgd"}) {
    TrainConfig c =
        config("run", {"train.steps=10", "eval.every=5", std::string("train.optimizer=") + optimizer});
    Trainer trainer(c, StartMode::overwrite);
    trainer.run();
    const auto task = make_task(c, torch::kCPU);
    task->load(dir_.file("run/checkpoint"));
    EXPECT_EQ(task->evaluate().loss, trainer.last_evaluation().loss) << optimizer;
  }
}

TEST_F(LanguageModelTest, RunsWithoutValidationKeepTheirCheckpoints) {
  Trainer trainer(config("run", {"data.validation_fraction=0", "train.steps=10", "eval.every=5"}),
                  StartMode::fresh);
  EXPECT_TRUE(trainer.run());
  EXPECT_TRUE(fs::exists(dir_.file("run/checkpoints/step-10/model.safetensors")));
}

TEST_F(LanguageModelTest, SamplesComeWhenTheyAreDueAndSkipPaddedIds) {
  Trainer(config("run", {"model.vocab_size=400", "train.steps=6", "eval.every=3", "sample.every=2",
                         "sample.temperature=50"}),
          StartMode::fresh)
      .run();
  size_t samples = 0;
  for (const Json& line : metrics("run")) samples += line.contains("sample") ? 1 : 0;
  EXPECT_EQ(samples, 3U);
}

TEST_F(LanguageModelTest, AnotherTokenizerIsTrainedForAnotherConfig) {
  Trainer(config("run", {"train.steps=2"}), StartMode::fresh).run();
  const std::string before = test::read_bytes(dir_.file("run/tokenizer.model"));
  Trainer(config("run", {"train.steps=2", "tokenizer.model_type=bpe", "tokenizer.vocab_size=300",
                         "tokenizer.byte_fallback=true"}),
          StartMode::overwrite)
      .run();
  EXPECT_NE(test::read_bytes(dir_.file("run/tokenizer.model")), before);
}

TEST_F(LanguageModelTest, ARefusedResumeLeavesTheTokensAlone) {
  Trainer(config("run", {"train.steps=2"}), StartMode::fresh).run();
  const std::string manifest = test::read_bytes(dir_.file("run/tokens/manifest.json"));
  expect_error(
      [&] {
        Trainer(config("run", {"train.steps=2", "data.validation_fraction=0.3"}), StartMode::resume);
      },
      {"another config", "validation_fraction"});
  EXPECT_EQ(test::read_bytes(dir_.file("run/tokens/manifest.json")), manifest);
}

TEST_F(LanguageModelTest, ATokenizerOfAnyNameIsFoundInTheCheckpoint) {
  Trainer(config("run", {"train.steps=2"}), StartMode::fresh).run();
  fs::copy_file(dir_.file("run/tokenizer.model"), dir_.file("llama9-tokenizer.model"));
  Trainer(config("named", {"train.steps=2", "tokenizer.path=" + dir_.file("llama9-tokenizer.model")}),
          StartMode::fresh)
      .run();
  EXPECT_EQ(test::read_bytes(dir_.file("named/checkpoint") + "/tokenizer.model"),
            test::read_bytes(dir_.file("run/tokenizer.model")));
}

TEST_F(LanguageModelTest, OptionsOfTernaryLayersAreKeysOfTheModel) {
  const std::vector<std::string> options = {"model.use_rms_norm=true", "model.linear_norm_eps=1e-4",
                                            "model.modules_to_not_convert=[lm_head, model.layers.0.*k_proj]"};
  const TrainConfig read = config("a", options);
  EXPECT_TRUE(read.model.transformer.use_rms_norm);
  EXPECT_EQ(read.model.transformer.linear_norm_eps, 1e-4);
  EXPECT_EQ(read.model.transformer.modules_to_not_convert,
            (std::vector<std::string>{"lm_head", "model.layers.0.*k_proj"}));
  test::write_bytes(dir_.file("resolved.yaml"), to_yaml(read));
  EXPECT_EQ(to_yaml(load_train_config(dir_.file("resolved.yaml"), {})), to_yaml(read));
  EXPECT_EQ(to_yaml(config("a")).find("rms_norm:"), std::string::npos) << "older runs stay resumable";
  EXPECT_EQ(to_yaml(config("a", {"model.modules_to_not_convert=[lm_head]"})), to_yaml(config("a")));

  expect_error([&] { config("b", {"model.use_rms_nrom=true"}); }, {"use_rms_nrom", "\"use_rms_norm\""});
  expect_error([&] { config("b", {"model.linear_norm_eps=1e-4"}); }, {"linear_norm_eps", "use_rms_norm"});
  expect_error([&] { config("b", {"model.modules_to_not_convert=[k_proj]"}); },
               {"modules_to_not_convert", "\"lm_head\" among the names"});
  expect_error([&] { config("b", {"model.modules_to_not_convert=[lm_head, model.layers.2]"}); },
               {"modules_to_not_convert", "\"model.layers.2\", which is none"});
  expect_error(
      [&] {
        config("b", {"model.use_rms_norm=true", "model.quantization=none"});
      },
      {"use_rms_norm", "not ternary"});
}

TEST_F(LanguageModelTest, BadInputIsAClearError) {
  test::write_bytes(dir_.file("empty.txt"), "");
  expect_error([&] { Trainer(config("a", {"data.path=" + dir_.file("empty.txt")}), StartMode::fresh); },
               {"empty"});
  expect_error([&] { Trainer(config("b", {"model.vocab_size=5"}), StartMode::fresh); },
               {"tokenizer.model", "vocab_size of 5"});
  test::write_bytes(dir_.file("bad.txt"), "good\xFF" + little_text(10));
  expect_error([&] { Trainer(config("c", {"data.path=" + dir_.file("bad.txt")}), StartMode::fresh); },
               {"bad.txt", "UTF-8"});
  expect_error([&] { config("g", {"tokenizer.type=byte_level_bpe"}); }, {"tokenizer.type", "tokenizer.path"});
  expect_error([&] { config("d", {"train.accumulation=3"}); },
               {"train.accumulation", "divisor of batch_size"});
  expect_error([&] { config("e", {"model.max_position_embeddings=16"}); },
               {"max_position_embeddings", "block_size"});
  expect_error([&] { config("f", {"model.num_key_value_heads=3"}); }, {"num_key_value_heads", "divisor"});
}

TEST_F(LanguageModelTest, DivergenceStopsAndKeepsTheLastCheckpoint) {
  const std::vector<std::string> wild = {
      "train.learning_rate=1e3", "train.optimizer=sgd",  "train.clip_norm=0",    "train.schedule=constant",
      "model.quantization=none", "train.weight_decay=0", "train.warmup_steps=0", "train.steps=400"};
  expect_error([&] { Trainer(config("run", wild), StartMode::fresh).run(); },
               {"training diverged at step", "learning_rate", "checkpoint"});
}

// The whole trip: what was trained here, packed, gives the logits that the module gives.
TEST_F(LanguageModelTest, PackedModelAgreesWithTheModule) {
  const std::vector<std::string> options = {
      "model.use_rms_norm=true", "model.linear_norm_eps=1e-3",
      "model.modules_to_not_convert=[lm_head, v_proj, model.layers.1.mlp.down_proj]"};
  const std::vector<std::string> qwen2 = {"model.type=qwen2"};
  for (const auto& [run, overrides] :
       {std::pair{"plain", std::vector<std::string>()}, {"options", options}, {"qwen2", qwen2}}) {
    SCOPED_TRACE(run);
    Trainer(config(run, overrides), StartMode::fresh).run();
    const Checkpoint checkpoint(dir_.file(cat(run, "/checkpoint")));
    EXPECT_EQ(checkpoint.config().transformer.use_rms_norm, overrides == options);
    if (overrides == qwen2) {
      const auto bias = checkpoint.tensor("model.layers.0.self_attn.q_proj.bias");
      EXPECT_TRUE(std::ranges::any_of(bias, [](float b) { return b != 0.0F; })) << "it has learnt";
    }
    exporting::export_rotor(checkpoint, dir_.file("m.rotor"), {.head = DenseType::f32}, [](const auto&) {});
    const auto tokenizer = text::load_tokenizer(dir_.file("m.rotor"));
    const auto ids = tokenizer->encode(little_text(20), text::SpecialTokens::as_text);
    for (const char* kernels : {"scalar", ""}) {
      setenv("ROTOR_KERNELS", kernels, 1);
      const auto backend = runtime::make_backend();
      unsetenv("ROTOR_KERNELS");
      const auto report = test::compare_language_seam(checkpoint, dir_.file("m.rotor"), *backend, ids, 32);
      EXPECT_TRUE(test::acceptable(report)) << test::describe(report);
      EXPECT_EQ(report.as_trained.tokens, static_cast<int64_t>(ids.size()) - 1);
    }
  }
}

}  // namespace
}  // namespace rotor::train
