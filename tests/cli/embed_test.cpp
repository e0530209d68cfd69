// `rotor-export` of a sentence encoder, `rotor embed` and what other commands say to it, as a user meets
// them.
#include <gtest/gtest.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "runtime/engine/embedding_model.h"
#include "tests/support/chat_model.h"
#include "tests/support/command.h"
#include "tests/support/encoders.h"
#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;
using test::TempDir;

CommandResult rotor(std::vector<std::string> arguments, const test::CommandOptions& options = {}) {
  arguments.insert(arguments.begin(), test::program("rotor"));
  return test::run_command(arguments, options);
}

CommandResult rotor_export(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), test::program("rotor-export"));
  return test::run_command(arguments);
}

void expect_said(const CommandResult& result, int status, const std::string& part) {
  EXPECT_EQ(result.status, status) << result.err;
  EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

/// One array of floats a line.
std::vector<std::vector<float>> arrays_of(const std::string& out) {
  std::vector<std::vector<float>> arrays;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) arrays.push_back(parse_json(line, "out"));
  return arrays;
}

TEST(EmbedCommand, FromADirectoryToVectors) {
  const TempDir dir;
  const std::string model = dir.file("m.rotor");
  const CommandResult exported = rotor_export({test::golden_path("bert-tiny"), model});
  EXPECT_EQ(exported.status, 0) << exported.err;
  for (const char* said : {"pooler.dense.weight", "embeddings.position_ids", "int8 rows", "mean pooling",
                           "brought to length 1", "up to 24 tokens", "tokenizer: word_piece"}) {
    EXPECT_NE(exported.err.find(said), std::string::npos) << said << " in " << exported.err;
  }
  EXPECT_EQ(rotor({"verify", model}).status, 0);
  const Json info = parse_json(rotor({"info", "--json", model}).out, "info");
  EXPECT_EQ(info["config"]["model_type"], "bert");
  EXPECT_EQ(info["config"]["pooling"], "mean");
  EXPECT_EQ(info["tokenizer"]["kind"], "word_piece");
  const runtime::EmbeddingModel library(model);
  EXPECT_EQ(info["fingerprint"], library.id());

  const CommandResult result = rotor({"embed", model, "The quick brown fox", "", "漢字 café"});
  ASSERT_EQ(result.status, 0) << result.err;
  const std::vector<std::string> texts = {"The quick brown fox", "", "漢字 café"};
  const auto expected = library.embed(texts);
  const auto arrays = arrays_of(result.out);
  ASSERT_EQ(arrays.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(arrays[i], std::vector<float>(expected.begin() + static_cast<long>(i) * 36,
                                            expected.begin() + static_cast<long>(i + 1) * 36));
  }
  EXPECT_NE(result.err.find("kernels"), std::string::npos) << result.err;
  EXPECT_NE(rotor({"embed", "--help"}).out.find("examples:"), std::string::npos);
}

TEST(EmbedCommand, JsonLinesInJsonOut) {
  const TempDir dir;
  const std::string model = dir.file("m.rotor");
  test::write_golden_encoder(model, DenseType::q8, DenseType::q8);
  std::string lines;
  for (int i = 0; i < 150; ++i) lines += dump_json({{"text", cat("dog ", i)}, {"id", i}}) + "\n";
  lines += dump_json({{"text", std::string(200, '.')}}) + "\n";
  test::write_bytes(dir.file("texts.jsonl"), lines);
  const CommandResult result =
      rotor({"embed", model, "--jsonl", dir.file("texts.jsonl"), "--json", "-t", "2"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "out");
  EXPECT_EQ(json["embeddings"].size(), 151U);
  EXPECT_EQ(json["embeddings"][7].size(), 36U);
  EXPECT_EQ(json["dimensions"], 36);
  EXPECT_EQ(json["max_tokens"], 24);
  EXPECT_EQ(json["tokens"].back(), 202);
  EXPECT_EQ(json["cut"].back(), true);
  EXPECT_EQ(json["cut"].front(), false);
  EXPECT_EQ(json["id"], runtime::EmbeddingModel(model).id());
  EXPECT_NE(result.err.find("a text is longer than 24 tokens"), std::string::npos) << result.err;
  const CommandResult plain = rotor({"embed", model, "--jsonl", dir.file("texts.jsonl")});
  EXPECT_EQ(arrays_of(plain.out), json["embeddings"].get<std::vector<std::vector<float>>>());
  test::write_bytes(dir.file("texts.jsonl"), "{\"text\": \"a\"}\n{\"txt\": 1}\n");
  expect_said(rotor({"embed", model, "--jsonl", dir.file("texts.jsonl")}), 1,
              "texts.jsonl:2: expected {\"text\": ...}");
  expect_said(rotor({"embed", model, "--jsonl", dir.file("texts.jsonl"), "a"}), 2, "found both");
}

TEST(EmbedCommand, CtrlCKeepsWhatIsDone) {
  const TempDir dir;
  const std::string model = dir.file("m.rotor");
  test::write_golden_encoder(model, DenseType::q8, DenseType::q8);
  std::string lines;
  for (int i = 0; i < 400000; ++i) lines += "{\"text\":\"the quick brown fox jumps over the lazy dog\"}\n";
  test::write_bytes(dir.file("texts.jsonl"), lines);
  test::CommandOptions options;
  options.interrupt_after = "kernels";
  options.interrupt_after_ms = 4000;
  const CommandResult result = rotor({"embed", model, "--jsonl", dir.file("texts.jsonl")}, options);
  EXPECT_EQ(result.status, 130) << result.err;
  const auto count = std::count(result.out.begin(), result.out.end(), '\n');
  EXPECT_LT(count, 400000);
  EXPECT_TRUE(result.out.empty() || result.out.ends_with("]\n"));
}

TEST(EmbedCommand, LanguageModels) {
  const TempDir dir;
  const std::string model = dir.file("m.rotor");
  test::write_chat_model(model, 64);
  const CommandResult result = rotor({"embed", model, "abc", "cab abc", "--backend", "cpu"});
  ASSERT_EQ(result.status, 0) << result.err;
  const auto arrays = arrays_of(result.out);
  ASSERT_EQ(arrays.size(), 2U);
  for (const auto& vector : arrays) {
    double squares = 0;
    for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
    EXPECT_NEAR(squares, 1.0, 1e-5);
  }
  EXPECT_NE(arrays[0], arrays[1]);
  expect_said(rotor({"embed", model, std::string(100, 'x'), "--backend", "cpu"}), 1,
              "text 1: expected at most 64 tokens");
  std::string lines;
  for (int i = 0; i < 69; ++i) lines += "{\"text\":\"a\"}\n";
  test::write_bytes(dir.file("texts.jsonl"), lines + dump_json({{"text", std::string(100, 'x')}}) + "\n");
  expect_said(rotor({"embed", model, "--jsonl", dir.file("texts.jsonl"), "--backend", "cpu"}), 1,
              "text 70: expected at most 64 tokens");
}

TEST(EmbedCommand, WhatDoesNotSuitIsRefused) {
  const TempDir dir;
  const std::string model = dir.file("m.rotor");
  const std::string source = test::golden_path("bert-tiny");
  expect_said(rotor_export({source, model, "--head", "f16"}), 2,
              "--head has no meaning for a sentence encoder");
  expect_said(rotor_export({source, model, "--head-screening", "on"}), 2, "--head-screening has no meaning");
  expect_said(rotor_export({source, model, "--layers", "q4"}), 2, "--layers: expected auto | f16 | f32 | q8");
  expect_said(rotor_export({source, model, "--ternarize", "absmean"}), 1, "not for sentence encoders");
  expect_said(rotor_export({source, dir.file("x.gguf")}), 1, "this is a sentence encoder: choose rotor");
  expect_said(rotor_export({source, dir.file("x"), "--to", "hf"}), 1,
              "a sentence encoder: expected --to rotor");
  EXPECT_FALSE(std::filesystem::exists(model));
  EXPECT_EQ(rotor_export({source, model, "--layers", "f16", "--embeddings", "f32"}).status, 0);
  EXPECT_EQ(RotorFile(model).dense_format().layers, DenseType::f16);
  expect_said(rotor({"run", model, "-p", "a"}), 1,
              "a sentence encoder (bert): rotor embed gives its vectors");
  expect_said(rotor({"classify", model, "--data", dir.path()}), 1, "expected mlp, found bert");
  expect_said(rotor({"embed", model, "a", "--kv", "q8"}), 2, "--kv has no meaning for a sentence encoder");
  expect_said(rotor({"embed", model, "a", "--backend", "vulkan"}), 2,
              "--backend: expected cpu or auto for a sentence encoder, found \"vulkan\"");
  expect_said(rotor({"embed", model, "a"}, {.environment = {{"ROTOR_BACKEND", "opencl"}}}), 2,
              "ROTOR_BACKEND: expected cpu or auto for a sentence encoder, found \"opencl\"");
  EXPECT_EQ(rotor({"embed", model, "a", "--backend", "auto"}).status, 0);
  test::write_chat_model(dir.file("lm.rotor"), 64);
  expect_said(rotor_export({dir.file("lm.rotor"), dir.file("x.rotor"), "--layers", "q8"}), 2,
              "--layers has no meaning for a model that is no sentence encoder");
}

}  // namespace
}  // namespace rotor
