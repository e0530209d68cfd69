// The trainer: it learns, it is deterministic, and a run that was broken off ends as an unbroken one.
#include "train/trainer/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::train {
namespace {

using test::expect_error;
using test::TempDir;

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override { test::write_idx_dataset(data_, 600, 200); }

  TrainConfig config(const std::string& run, Quantization quantization = Quantization::ternary) const {
    TrainConfig config;
    config.output_dir = dir_.file(run);
    config.threads = 1;
    config.model = test::small_mlp(Activation::relu, quantization);
    config.images.path = data_;
    config.epochs = 4;
    config.batch_size = 32;
    config.optimizer.learning_rate = 1e-2;
    config.optimizer.warmup_steps = 5;
    config.log_every = 5;
    return config;
  }
  std::string weights(const std::string& run) const {
    return test::read_bytes(dir_.file(run + "/checkpoint/model.safetensors"));
  }
  /// metrics.jsonl without the speeds.
  std::vector<Json> metrics(const std::string& run) const {
    std::ifstream in(dir_.file(run + "/metrics.jsonl"));
    std::vector<Json> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(parse_json(line, "metrics.jsonl"));
      for (const char* key : {"images_per_second", "memory_bytes"}) lines.back().erase(key);
    }
    return lines;
  }

  TempDir dir_;
  std::string data_ = dir_.file("data");
};

TEST_F(TrainerTest, LearnsWithEveryActivationAndOptimizer) {
  const auto accuracy = [&](TrainConfig c) {
    Trainer trainer(std::move(c), StartMode::overwrite);
    EXPECT_TRUE(trainer.run());
    return trainer.last_evaluation().accuracy();
  };
  // Ten classes: chance is 0.1. The generated images are separable.
  for (const Activation activation : {Activation::relu, Activation::relu2, Activation::sign}) {
    TrainConfig c = config("run");
    c.model.mlp.activation = activation;
    EXPECT_GT(accuracy(c), 0.8) << name(activation);
  }
  EXPECT_GT(accuracy(config("run", Quantization::none)), 0.9);
  for (const auto& [kind, rate] :
       {std::pair{OptimizerKind::adam, 1e-2}, std::pair{OptimizerKind::sgd, 1e-1}}) {
    TrainConfig c = config("run");
    c.optimizer.kind = kind;
    c.optimizer.learning_rate = rate;
    EXPECT_GT(accuracy(c), 0.8);
  }
}

TEST_F(TrainerTest, WritesWhatItPromises) {
  Trainer(config("run"), StartMode::fresh).run();
  const Checkpoint checkpoint(dir_.file("run/checkpoint"));
  EXPECT_EQ(checkpoint.config().mlp.layer_sizes, test::small_mlp().mlp.layer_sizes);
  EXPECT_GT(checkpoint.config().mlp.input_mean, 0.1);  // measured, not the default
  EXPECT_NO_THROW(Checkpoint{dir_.file("run/best")});
  EXPECT_NO_THROW(load_train_config(dir_.file("run/config.yaml"), {}));
  const auto lines = metrics("run");
  EXPECT_EQ(
      std::count_if(lines.begin(), lines.end(), [](const Json& l) { return l.contains("eval_accuracy"); }),
      4);
  EXPECT_EQ(lines.back()["step"], 76);
}

TEST_F(TrainerTest, SameSeedSameResultOtherSeedOther) {
  Trainer(config("a"), StartMode::fresh).run();
  Trainer(config("b"), StartMode::fresh).run();
  EXPECT_EQ(weights("a"), weights("b"));
  TrainConfig other = config("c");
  other.seed = 2;
  Trainer(other, StartMode::fresh).run();
  EXPECT_NE(weights("a"), weights("c"));
}

TEST_F(TrainerTest, RefusesToOverwriteARun) {
  TrainConfig c = config("run");
  c.epochs = 1;
  Trainer(c, StartMode::fresh).run();
  expect_error([&] { Trainer(c, StartMode::fresh); }, {"run", "--resume", "--overwrite", "output_dir"});
  Trainer again(c, StartMode::resume);  // at its end already
  EXPECT_TRUE(again.run());
  EXPECT_GT(again.last_evaluation().total, 0);
}

TEST_F(TrainerTest, RefusesToResumeWithAnotherConfig) {
  TrainConfig c = config("run");
  c.epochs = 1;
  Trainer(c, StartMode::fresh).run();
  c.optimizer.learning_rate = 0.5;
  expect_error([&] { Trainer(c, StartMode::resume); },
               {"cannot resume with another config", "train.learning_rate: was 0.01, is 0.5"});
}

TEST_F(TrainerTest, DamagedStateIsAClearError) {
  TrainConfig c = config("run");
  c.epochs = 1;
  Trainer(c, StartMode::fresh).run();
  const std::string state = dir_.file("run/checkpoint/trainer.json");
  const std::string optimizer = dir_.file("run/checkpoint/optimizer.safetensors");
  const auto expect_refused = [&](const std::string& path, const std::string& bytes,
                                  std::vector<std::string> parts) {
    const std::string good = test::read_bytes(path);
    test::write_bytes(path, bytes);
    expect_error([&] { Trainer(c, StartMode::resume); }, parts);
    test::write_bytes(path, good);
  };
  const auto with = [&](const char* key, const Json& value) {
    Json json = read_json_file(state);
    json[key] = value;
    return dump_json(json);
  };
  expect_refused(state, "{}", {"trainer.json", "not a trainer state"});
  expect_refused(state, with("step", -5), {"step", "found -5"});
  expect_refused(state, with("step", 99), {"step", "0 to 19", "found 99"});
  expect_refused(state, with("step", 18), {"optimizer.safetensors", "step: expected 18, found 19"});
  expect_refused(state, with("data", "0"), {"other training data"});
  expect_refused(optimizer, test::read_bytes(optimizer).substr(0, 100),
                 {"optimizer.safetensors", "truncated"});
  SafetensorsWriter(optimizer + ".empty", {{"step", "19"}}, {}).commit();
  expect_refused(optimizer, test::read_bytes(optimizer + ".empty"), {"exp_avg.layers.0.linear", "missing"});
  EXPECT_NO_THROW(Trainer(c, StartMode::resume));
}

TEST_F(TrainerTest, MetricsOfARunWithoutCheckpointsAreDropped) {
  TrainConfig c = config("run");
  c.epochs = 1;
  Trainer(c, StartMode::fresh).run();
  const size_t lines = metrics("run").size();
  for (const char* name : {"run/checkpoint", "run/best"}) std::filesystem::remove(dir_.file(name));
  for (const StartMode mode : {StartMode::fresh, StartMode::overwrite, StartMode::resume}) {
    Trainer(c, mode).run();
    EXPECT_EQ(metrics("run").size(), lines);
    for (const char* name : {"run/checkpoint", "run/best"}) std::filesystem::remove(dir_.file(name));
  }
}

TEST_F(TrainerTest, CheckpointsWhoseLinkWasLostAreKept) {
  TrainConfig c = config("run");
  c.epochs = 1;
  Trainer(c, StartMode::fresh).run();
  for (const char* name : {"run/checkpoint", "run/best"}) std::filesystem::remove(dir_.file(name));
  for (const StartMode mode : {StartMode::fresh, StartMode::resume}) {
    const Trainer trainer(c, mode);
    EXPECT_NO_THROW(Checkpoint{dir_.file("run/checkpoints/step-19")});
  }
}

TEST_F(TrainerTest, DivergenceIsAnError) {
  TrainConfig c = config("run", Quantization::none);
  c.model.mlp.norm = Norm::none;
  c.model.mlp.activation = Activation::relu2;
  c.optimizer.kind = OptimizerKind::sgd;
  c.optimizer.learning_rate = 1000;
  c.optimizer.clip_norm = 0;
  expect_error([&] { Trainer(c, StartMode::fresh).run(); }, {"training diverged at step", "learning_rate"});
  c.model.quantization = Quantization::ternary;
  c.optimizer.learning_rate = 1e30;
  expect_error([&] { Trainer(c, StartMode::overwrite).run(); },
               {"training diverged at step", "learning_rate"});
}

TEST_F(TrainerTest, BadDataIsAnError) {
  TrainConfig c = config("run");
  c.images.path = dir_.file("nowhere");
  expect_error([&] { Trainer(c, StartMode::fresh); }, {"nowhere", "no such file"});
  c = config("run");
  c.model.mlp.layer_sizes = {65, 10};
  expect_error([&] { Trainer(c, StartMode::fresh); }, {"64 pixels", "65"});
  c = config("run");
  c.model.mlp.layer_sizes = {64, 9};
  expect_error([&] { Trainer(c, StartMode::fresh); }, {"label", "below 9"});
  c = config("run");
  c.device = "cuda";
  if (!torch::cuda::is_available()) expect_error([&] { Trainer(c, StartMode::fresh); }, {"device: cuda"});
}

}  // namespace
}  // namespace rotor::train
