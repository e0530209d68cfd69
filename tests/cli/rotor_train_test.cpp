// `rotor-train` as a user meets it, and the whole trip: train, evaluate, export, classify, with the same
// answers.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/tokenizer.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor {
namespace {

using test::CommandResult;
using test::TempDir;

class RotorTrainCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_idx_dataset(dir_.file("data"), 4000, 500);
    test::write_bytes(config_,
                      "output_dir: " + dir_.file("run") +
                          "\nthreads: 1\n"
                          "model: {type: mlp, layer_sizes: [64, 48, 10], dropout: 0.1}\n"
                          "data: {type: idx, path: " +
                          dir_.file("data") +
                          "}\n"
                          "train: {epochs: 4, batch_size: 16, learning_rate: 5.0e-3, warmup_steps: 20}\n"
                          "log: {every: 10}\n");
  }
  CommandResult rotor_train(std::vector<std::string> arguments,
                            const test::CommandOptions& options = {}) const {
    arguments.insert(arguments.begin(), test::program("rotor-train"));
    return test::run_command(arguments, options);
  }
  void expect_one_line_error(const CommandResult& result, const std::vector<std::string>& parts) const {
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    for (const std::string& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  CommandResult interrupted_fit(std::vector<std::string> more) const {
    more.insert(more.begin(), {"fit", config_});
    return rotor_train(more, {.interrupt_after_ms = 60, .interrupt_after = "epoch 1/12"});
  }

  TempDir dir_;
  std::string config_ = dir_.file("config.yaml");
};

TEST_F(RotorTrainCommand, TheWholeTrip) {
  const CommandResult fit = rotor_train({"fit", config_});
  ASSERT_EQ(fit.status, 0) << fit.err;
  EXPECT_NE(fit.err.find("epoch 4/4"), std::string::npos) << fit.err;
  EXPECT_NE(fit.err.find("images/s"), std::string::npos);
  const CommandResult eval =
      rotor_train({"eval", config_, "--checkpoint", dir_.file("run/checkpoint"), "--json"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  const Json evaluated = parse_json(eval.out, "eval");
  EXPECT_GT(evaluated["accuracy"], 0.9);
  const CommandResult exported =
      test::run_command({test::program("rotor-export"), dir_.file("run/checkpoint"), dir_.file("m.rotor")});
  ASSERT_EQ(exported.status, 0) << exported.err;
  const CommandResult classified = test::run_command(
      {test::program("rotor"), "classify", dir_.file("m.rotor"), "--data", dir_.file("data"), "--json"});
  ASSERT_EQ(classified.status, 0) << classified.err;
  EXPECT_LE(
      std::abs(parse_json(classified.out, "out")["correct"].get<int>() - evaluated["correct"].get<int>()), 2);
  const CommandResult seam = test::run_command({test::program("seam-check"), dir_.file("run/checkpoint"),
                                                dir_.file("m.rotor"), "--data", dir_.file("data")});
  EXPECT_EQ(seam.status, 0) << seam.out << seam.err;
}

TEST_F(RotorTrainCommand, InterruptAndResumeEndAsAnUnbrokenRun) {
  const std::vector<std::string> longer = {"--set", "train.epochs=12"};
  ASSERT_EQ(
      rotor_train({"fit", config_, "--set", "train.epochs=12", "--set", "output_dir=" + dir_.file("whole")})
          .status,
      0);
  const CommandResult first = interrupted_fit(longer);  // about a tenth of the way
  ASSERT_EQ(first.status, 130) << first.err;
  EXPECT_NE(first.err.find("interrupted: checkpoint written to"), std::string::npos) << first.err;
  EXPECT_NE(first.err.find("--resume"), std::string::npos);
  const CommandResult second = rotor_train({"fit", config_, "--resume", "--set", "train.epochs=12"});
  ASSERT_EQ(second.status, 0) << second.err;
  EXPECT_NE(second.err.find("resuming"), std::string::npos) << second.err;
  EXPECT_EQ(test::read_bytes(dir_.file("run/checkpoint/model.safetensors")),
            test::read_bytes(dir_.file("whole/checkpoint/model.safetensors")));
  EXPECT_EQ(test::read_bytes(dir_.file("run/checkpoint/optimizer.safetensors")),
            test::read_bytes(dir_.file("whole/checkpoint/optimizer.safetensors")));
  const auto metrics = [&](const std::string& run) {
    std::istringstream in(test::read_bytes(dir_.file(run + "/metrics.jsonl")));
    std::vector<Json> lines;
    for (std::string line; std::getline(in, line);) {
      lines.push_back(parse_json(line, run));
      for (const char* key : {"images_per_second", "memory_bytes"}) lines.back().erase(key);
    }
    return lines;
  };
  EXPECT_EQ(metrics("run"), metrics("whole"));
}

TEST_F(RotorTrainCommand, PlotWritesAPage) {
  ASSERT_EQ(rotor_train({"fit", config_, "--set", "train.epochs=1"}).status, 0);
  const CommandResult plotted = rotor_train({"plot", dir_.file("run")});
  EXPECT_EQ(plotted.status, 0) << plotted.err;
  EXPECT_NE(plotted.err.find("run/plot.html"), std::string::npos) << plotted.err;
  const std::string page = test::read_bytes(dir_.file("run/plot.html"));
  EXPECT_TRUE(page.starts_with("<!DOCTYPE html>"));
  EXPECT_NE(page.find("Images per second"), std::string::npos);
  // A run that was killed while it wrote, plotted to another place.
  const std::string metrics = dir_.file("run/metrics.jsonl");
  test::write_bytes(metrics, test::read_bytes(metrics) + "{\"step\":9");
  const CommandResult cut = rotor_train({"plot", dir_.file("run") + "/", "--out", dir_.file("p.html")});
  EXPECT_EQ(cut.status, 0) << cut.err;
  EXPECT_NE(cut.err.find("last line"), std::string::npos) << cut.err;
  EXPECT_NE(test::read_bytes(dir_.file("p.html")).find("<title>run</title>"), std::string::npos);
  test::write_bytes(metrics, "");
  expect_one_line_error(rotor_train({"plot", dir_.file("run")}), {"metrics.jsonl", "is empty"});
  expect_one_line_error(rotor_train({"plot", dir_.file("data")}), {"data/metrics.jsonl", "cannot open"});
  expect_one_line_error(rotor_train({"plot", config_}), {"config.yaml", "expected the output_dir of a run"});
}

TEST_F(RotorTrainCommand, HelpAndUsage) {
  EXPECT_NE(rotor_train({"--help"}).out.find("fit"), std::string::npos);
  EXPECT_NE(rotor_train({"fit", "--help"}).out.find("--resume"), std::string::npos);
  EXPECT_NE(rotor_train({"plot", "--help"}).out.find("rotor-train plot runs/"), std::string::npos);
  EXPECT_EQ(rotor_train({"plot"}).status, 2);
  EXPECT_EQ(rotor_train({"fit"}).status, 2);
  EXPECT_EQ(rotor_train({"fit", config_, "--resume", "--overwrite"}).status, 2);
  EXPECT_EQ(rotor_train({"eval", config_}).status, 2);
}

TEST_F(RotorTrainCommand, EvalWantsAValidationSplit) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "All work and no play makes Jack a dull boy.\n";
  test::write_bytes(dir_.file("text.txt"), text);
  test::write_bytes(config_, "output_dir: " + dir_.file("run") +
                                 "\nthreads: 1\n"
                                 "model: {type: bitnet, hidden_size: 32, intermediate_size: 32, "
                                 "num_hidden_layers: 1, num_attention_heads: 2}\n"
                                 "tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}\n"
                                 "data: {type: text, path: " +
                                 dir_.file("text.txt") +
                                 ", block_size: 16, validation_fraction: 0.2}\n"
                                 "train: {steps: 2, batch_size: 2}\n");
  const CommandResult fit = rotor_train({"fit", config_});
  ASSERT_EQ(fit.status, 0) << fit.err;
  const std::vector<std::string> eval = {"eval", config_, "--checkpoint", dir_.file("run/checkpoint")};
  const CommandResult evaluated = rotor_train(eval);
  EXPECT_EQ(evaluated.status, 0) << evaluated.err;
  EXPECT_NE(evaluated.out.find("perplexity"), std::string::npos) << evaluated.out;
  std::vector<std::string> without = eval;
  without.insert(without.end(), {"--set", "data.validation_fraction=0"});
  const CommandResult refused = rotor_train(without);
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_NE(refused.err.find(config_ + ": data: nothing is kept"), std::string::npos) << refused.err;
}

TEST_F(RotorTrainCommand, BadConversationsAreNamedOrCounted) {
  std::string chats;
  for (int i = 0; i < 20; ++i) {
    chats += cat(R"({"instruction": "say )", i, R"(", "output": ")", i, "\"}\n");
  }
  test::write_bytes(dir_.file("chats.jsonl"), chats + "{\"instruction\": \"say nothing\"}\n");
  test::write_bytes(config_, "output_dir: " + dir_.file("run") +
                                 "\nthreads: 1\n"
                                 "model: {type: bitnet, hidden_size: 32, intermediate_size: 32, "
                                 "num_hidden_layers: 1, num_attention_heads: 2}\n"
                                 "tokenizer: {type: sentencepiece, path: " +
                                 dir_.file("tokenizer.model") +
                                 "}\n"
                                 "data: {type: chat, chat_template: plain, path: " +
                                 dir_.file("chats.jsonl") +
                                 ", block_size: 64, validation_fraction: 0.2}\n"
                                 "train: {steps: 2, batch_size: 2}\n");
  test::write_bytes(dir_.file("tokenizer.model"), test::small_sentencepiece());
  const CommandResult refused = rotor_train({"fit", config_});
  EXPECT_EQ(refused.status, 1);
  EXPECT_NE(refused.err.find("chats.jsonl:21"), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("--skip-bad"), std::string::npos) << refused.err;
  const CommandResult counted = rotor_train({"fit", config_, "--skip-bad"});
  EXPECT_EQ(counted.status, 0) << counted.err;
  EXPECT_NE(counted.err.find("1 bad line was skipped"), std::string::npos) << counted.err;
}

// A model from nothing that learns from conversations alone.
TEST_F(RotorTrainCommand, ATokenizerLearnsFromWhatConversationsSay) {
  std::string chats;
  for (int i = 0; i < 20; ++i)
    chats += cat(R"({"messages": [{"role": "user", "content": "quiz )", i,
                 R"("}, {"role": "assistant", "content": "box"}]})", "\n");
  test::write_bytes(dir_.file("chats.jsonl"), chats);
  test::write_bytes(config_, "output_dir: " + dir_.file("run") +
                                 "\nmodel: {type: bitnet, hidden_size: 32, intermediate_size: 32, "
                                 "num_hidden_layers: 1, num_attention_heads: 2}\n"
                                 "tokenizer: {type: sentencepiece, model_type: char, byte_fallback: false}\n"
                                 "data: {type: chat, chat_template: plain, path: " +
                                 dir_.file("chats.jsonl") + ", block_size: 64}\ntrain: {steps: 1}\n");
  const CommandResult made = rotor_train({"tokenizer", config_, "--out", dir_.file("chats.model")});
  ASSERT_EQ(made.status, 0) << made.err;
  const auto tokenizer = text::load_tokenizer(dir_.file("chats.model"));
  std::set<std::string> letters;
  for (text::TokenId id = 0; id < static_cast<text::TokenId>(tokenizer->vocab_size()); ++id)
    letters.insert(tokenizer->token_bytes(id, false));
  for (const char* letter : {"q", "z", "x", "7"}) EXPECT_TRUE(letters.contains(letter)) << letter;
  for (const char* letter : {"{", "\"", "m"}) EXPECT_FALSE(letters.contains(letter)) << letter;
  test::write_bytes(dir_.file("chats.jsonl"), chats + "{\"instruction\": \"say nothing\"}\n");
  const CommandResult bad = rotor_train({"tokenizer", config_, "--out", dir_.file("other.model")});
  EXPECT_EQ(bad.status, 1);
  EXPECT_NE(bad.err.find("chats.jsonl:21: the line: expected the field \"output\""), std::string::npos)
      << bad.err;
}

TEST_F(RotorTrainCommand, BadInput) {
  expect_one_line_error(rotor_train({"fit", dir_.file("none.yaml")}), {"none.yaml", "cannot open"});
  expect_one_line_error(rotor_train({"fit", config_, "--set", "train.learning_rat=1"}),
                        {"learning_rat", "did you mean"});
  expect_one_line_error(rotor_train({"fit", config_, "--set", "train.epochs=many"}),
                        {"train.epochs", "whole number"});
  expect_one_line_error(rotor_train({"fit", config_, "--set", "train.epochs=-1"}),
                        {"train.epochs", "from 1"});
  expect_one_line_error(rotor_train({"fit", config_, "--set", "data.path=/nowhere"}),
                        {"/nowhere", "no such file"});
  expect_one_line_error(rotor_train({"eval", config_, "--checkpoint", dir_.file("none")}), {"none"});
  const std::string images = dir_.file("data/t10k-images-idx3-ubyte");
  test::write_bytes(images, test::read_bytes(images).substr(0, 999));
  expect_one_line_error(rotor_train({"fit", config_}), {"t10k-images-idx3-ubyte", "truncated"});
}

TEST_F(RotorTrainCommand, FullDiskEndsTheRunAndKeepsTheLastCheckpoint) {
  const CommandResult first = interrupted_fit({"--set", "train.epochs=12"});
  ASSERT_EQ(first.status, 130) << first.err;
  const std::string weights = test::read_bytes(dir_.file("run/checkpoint/model.safetensors"));
  const std::vector<std::string> resume = {"fit", config_, "--resume", "--set", "train.epochs=12"};
  const CommandResult full = rotor_train(resume, {.max_file_bytes = 12000});
  EXPECT_EQ(full.status, 1);
  EXPECT_NE(full.err.find("cannot write"), std::string::npos) << full.err;
  EXPECT_EQ(test::read_bytes(dir_.file("run/checkpoint/model.safetensors")), weights);
  const CommandResult again = rotor_train(resume);
  EXPECT_EQ(again.status, 0) << again.err;
}

TEST_F(RotorTrainCommand, TwoRunsInOneFolderAreRefused) {
  test::write_bytes(dir_.file("script"),
                    "\"$1\" fit \"$2\" --set train.epochs=40000 2> \"$0.err\" & "
                    "until grep -q 'epoch 1/' \"$0.err\" || ! kill -0 $!; do sleep 0.1; done; "
                    "\"$1\" fit \"$2\"; status=$?; kill -9 $!; wait; exit $status");
  const CommandResult result =
      test::run_command({"bash", dir_.file("script"), test::program("rotor-train"), config_});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("another run is writing here"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace rotor
