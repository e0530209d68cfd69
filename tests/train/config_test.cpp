// Configs: strict reading, overrides, and messages that name file, line, key and what was expected.
#include "train/config/train_config.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"
#include "train/config/config_document.h"

namespace rotor::train {
namespace {

using test::expect_error;
using test::TempDir;

constexpr const char* kGood =
    "output_dir: runs/x\n"
    "model:\n"
    "  type: mlp\n"
    "  layer_sizes: [784, 256, 10]\n"
    "  activation: relu\n"
    "data: {type: idx, path: data/mnist}\n"
    "train:\n"
    "  epochs: 3\n"
    "  learning_rate: 2.0e-3\n";

class ConfigTest : public ::testing::Test {
 protected:
  TrainConfig load(const std::string& text, const std::vector<std::string>& overrides = {}) const {
    test::write_bytes(path_, text);
    return load_train_config(path_, overrides);
  }
  void expect_bad(const std::string& text, const std::vector<std::string>& parts,
                  const std::vector<std::string>& overrides = {}) const {
    expect_error([&] { load(text, overrides); }, parts);
  }
  /// kGood with one piece replaced.
  static std::string with(const std::string& from, const std::string& to) {
    std::string text = kGood;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  }

  TempDir dir_;
  std::string path_ = dir_.file("config.yaml");
};

TEST_F(ConfigTest, ReadsValuesAndDefaults) {
  const TrainConfig config = load(kGood);
  EXPECT_EQ(config.output_dir, "runs/x");
  EXPECT_EQ(config.seed, 1U);
  EXPECT_EQ(config.model.mlp.layer_sizes, (std::vector<int64_t>{784, 256, 10}));
  EXPECT_EQ(config.model.quantization, Quantization::ternary);
  EXPECT_EQ(config.epochs, 3);
  EXPECT_FALSE(config.steps.has_value());
  EXPECT_DOUBLE_EQ(config.optimizer.learning_rate, 2e-3);
  EXPECT_EQ(config.optimizer.kind, OptimizerKind::adamw);
}

TEST_F(ConfigTest, ResolvedConfigIsAConfig) {
  const TrainConfig config =
      load(kGood, {"model.class_names=[a, 'b: c', d, e, f, g, h, i, j, '7']",
                   "train.epochs=", "train.steps=77", "data.mean=0.1", "data.std=0.3", "train.optimizer=sgd",
                   "train.schedule=linear", "model.activation=sign", "train.betas=[0.8,0.95]"});
  const std::string yaml = to_yaml(config);
  const TrainConfig back = load(yaml);
  EXPECT_EQ(to_yaml(back), yaml);
  EXPECT_EQ(back.steps, 77);
  EXPECT_EQ(back.images.mean, 0.1);
  EXPECT_EQ(back.model.mlp.class_names[1], "b: c");
  EXPECT_EQ(back.optimizer.betas, (std::vector<double>{0.8, 0.95}));
}

TEST_F(ConfigTest, UnknownKeysNameTheNearest) {
  expect_bad(with("learning_rate", "learning_rat"),
             {path_ + ":9", "train.learning_rat: unknown key", "did you mean \"learning_rate\"?"});
  expect_bad(with("activation", "activatoin"), {path_ + ":5", "model.activatoin", "\"activation\""});
  expect_bad(with("data: {type: idx, path", "data: {type: idx, maen: 0.1, path"),
             {":6", "data.maen", "\"mean\""});
  expect_bad(std::string(kGood) + "sede: 3\n", {":10", "sede: unknown key", "\"seed\""});
  expect_bad(std::string(kGood) + "log: {evry: 3}\n", {":10", "log.evry", "\"every\""});
}

TEST_F(ConfigTest, WrongTypes) {
  expect_bad(with("epochs: 3", "epochs: three"), {path_ + ":8", "train.epochs", "a whole number", "three"});
  expect_bad(with("epochs: 3", "epochs: 3.5"), {"train.epochs", "3.5"});
  expect_bad(with("epochs: 3", "epochs: \"3\""), {"train.epochs"});
  expect_bad(with("epochs: 3", "epochs: [3]"), {"train.epochs", "[3]"});
  expect_bad(with("[784, 256, 10]", "784"), {":4", "model.layer_sizes", "a list of whole numbers"});
  expect_bad(with("[784, 256, 10]", "[784, x]"), {"model.layer_sizes", "[784, x]"});
  expect_bad(with("activation: relu", "activation: gelu"),
             {":5", "model.activation", "relu | relu2 | sign", "gelu"});
  expect_bad(with("activation: relu", "bias: 7"), {"model.bias", "true or false", "7"});
  expect_bad(with("train:\n  epochs: 3\n  learning_rate: 2.0e-3\n", "train: 3\n"),
             {":7", "train", "keys and values"});
  expect_bad(with("output_dir: runs/x", "output_dir: {a: b}"), {":1", "output_dir", "a text"});
}

TEST_F(ConfigTest, WrongRanges) {
  expect_bad(with("epochs: 3", "epochs: 0"), {"train.epochs", "from 1 to", "found 0"});
  expect_bad(with("2.0e-3", "-1"), {"train.learning_rate", "found -1"});
  expect_bad(with("2.0e-3", ".nan"), {"train.learning_rate", "nan"});
  expect_bad(with("activation: relu", "dropout: 1.5"), {"model.dropout", "from 0 to 0.99", "1.5"});
  expect_bad(with("[784, 256, 10]", "[784]"), {"model.layer_sizes", "at least two"});
  expect_bad(with("[784, 256, 10]", "[200000, 10]"), {":4", "model.layer_sizes", "132104", "200000"});
  expect_bad(with("activation: relu", "norm_eps: 1.0"), {":5", "model.norm_eps"});
  expect_bad(with("activation: relu", "class_names: [a]"), {"model.class_names", "10 names, found 1"});
  expect_bad(std::string(kGood) + "  betas: [0.9]\n", {"train.betas", "two numbers"});
}

TEST_F(ConfigTest, MissingAndConflictingKeys) {
  expect_bad(with("output_dir: runs/x\n", ""), {path_, "output_dir is missing"});
  expect_bad(with("  layer_sizes: [784, 256, 10]\n", ""), {path_, "model.layer_sizes is missing"});
  expect_bad(with("epochs: 3", "epochs: 3\n  steps: 5"), {"one of epochs and steps"});
  expect_bad(with("  epochs: 3\n", ""), {"one of epochs and steps"});
  expect_bad(with("path: data/mnist}", "path: data/mnist, mean: 0.1}"), {"data.std is missing"});
  expect_bad(with("epochs: 3", "epochs: 3\n  epochs: 4"), {":9", "train.epochs", "second time"});
  expect_bad("", {path_, "output_dir is missing"});
}

TEST_F(ConfigTest, FilesThatAreNoYaml) {
  expect_error([&] { load_train_config(dir_.file("none.yaml"), {}); }, {"none.yaml", "cannot open"});
  expect_bad("a: [1, 2\nb: 3\n", {path_ + ":", "bad YAML"});
  expect_bad("- a\n- b\n", {path_, "keys and values"});
  expect_bad(std::string(kGood) + "---\nseed: 2\n", {path_, "one YAML document"});
  expect_error([&] { load_train_config(dir_.path(), {}); }, {"cannot open"});
}

TEST_F(ConfigTest, Overrides) {
  EXPECT_EQ(load(kGood, {"train.epochs=9"}).epochs, 9);
  EXPECT_EQ(load(kGood, {"log.every=5"}).log_every, 5);
  EXPECT_EQ(load(kGood, {"model.layer_sizes=[784,64,10]"}).model.mlp.layer_sizes[1], 64);
  EXPECT_EQ(load(kGood, {"data.path=/a=b"}).images.path, "/a=b");
  expect_bad(kGood, {"--set train.epochs=x", "train.epochs"}, {"train.epochs=x"});
  expect_bad(kGood, {"--set train.epoch=1", "unknown key", "\"epochs\""}, {"train.epoch=1"});
  expect_bad(kGood, {"--set train", "KEY.PATH=VALUE"}, {"train"});
  expect_bad(kGood, {"--set train.epochs.=1", "KEY.PATH=VALUE"}, {"train.epochs.=1"});
  expect_bad(kGood, {"--set output_dir.x=1", "not a section"}, {"output_dir.x=1"});
  expect_bad(kGood, {"--set train.epochs=[", "bad YAML"}, {"train.epochs=["});
}

TEST_F(ConfigTest, ResumeDifferencesAreWhatChangesTheResult) {
  const TrainConfig saved = load(kGood);
  for (const char* same :
       {"output_dir=elsewhere", "threads=3", "data.path=/other", "log.every=7", "train.keep_checkpoints=9"}) {
    EXPECT_EQ(resume_differences(saved, load(kGood, {same})), "") << same;
  }
  for (const char* other :
       {"seed=2", "train.epochs=4", "train.learning_rate=1e-3", "model.dropout=0.5", "device=cuda"}) {
    const std::string key = std::string(other).substr(0, std::string(other).find('='));
    EXPECT_TRUE(resume_differences(saved, load(kGood, {other})).starts_with(key + ": was ")) << other;
  }
  EXPECT_EQ(resume_differences(saved, load(kGood, {"seed=2", "train.epochs=4"})),
            "seed: was 1, is 2\ntrain.epochs: was 3, is 4");
}

TEST(CommittedConfigs, AllLoad) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(ROTOR_SOURCE_DIR) + "/configs")) {
    SCOPED_TRACE(entry.path());
    EXPECT_NO_THROW(load_train_config(entry.path(), {}));
    ++count;
  }
  EXPECT_GE(count, 3U);
}

}  // namespace
}  // namespace rotor::train
