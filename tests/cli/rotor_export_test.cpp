// `rotor-export` as a user meets it.
#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/tokenizer.h"
#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;
using test::TempDir;

CommandResult rotor_export(std::vector<std::string> arguments, const test::CommandOptions& options = {}) {
  arguments.insert(arguments.begin(), test::program("rotor-export"));
  return test::run_command(arguments, options);
}

TEST(RotorExportCommand, WritesAFileThatVerifies) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  const CommandResult dry = rotor_export({"--dry-run", dir.file("c"), dir.file("m.rotor")});
  EXPECT_EQ(dry.status, 0) << dry.err;
  EXPECT_NE(dry.err.find("layers.0.linear.weight_scale"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir.file("m.rotor")));
  const CommandResult result = rotor_export({dir.file("c"), dir.file("m.rotor")});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("ternary planes"), std::string::npos);
  EXPECT_TRUE(RotorFile(dir.file("m.rotor")).verify().empty());
  EXPECT_NE(rotor_export({"--help"}).out.find("examples:"), std::string::npos);
  EXPECT_EQ(rotor_export({"--version"}).status, 0);
}

TEST(RotorExportCommand, HeadScreeningIsChosen) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  const auto exported = [&](std::vector<std::string> options) {
    options.insert(options.end(), {dir.file("c"), dir.file("m.rotor")});
    const CommandResult result = rotor_export(options);
    EXPECT_EQ(result.status, 0) << result.err;
    return RotorFile(dir.file("m.rotor")).dense_format().screening;
  };
  EXPECT_FALSE(exported({})) << "a head as small as that is read whole";
  EXPECT_TRUE(exported({"--head-screening", "on"}));
  EXPECT_FALSE(exported({"--head-screening", "off"}));
  const CommandResult dry = rotor_export({"--dry-run", "--head-screening", "on", dir.file("c"), "x.rotor"});
  EXPECT_NE(dry.err.find("model.embed_tokens.weight_screen_error"), std::string::npos) << dry.err;
  for (const char* dry_run : {"--dry-run", "--head-screening"}) {
    std::vector<std::string> options = {"--head", "f16", "--head-screening", "on"};
    if (std::string(dry_run) == "--dry-run") options.emplace_back(dry_run);
    options.insert(options.end(), {dir.file("c"), dir.file("x.rotor")});
    const CommandResult bad = rotor_export(options);
    EXPECT_EQ(bad.status, 1);
    EXPECT_NE(bad.err.find("needs a dense head that is kept as q8"), std::string::npos) << bad.err;
  }
  EXPECT_EQ(rotor_export({"--head-screening", "maybe", dir.file("c"), "x.rotor"}).status, 2);
}

// Files of llama.cpp and bitnet.cpp (tests/golden/gguf), which hold the same ternary matrices, become models
// that say the same, but for their embeddings' types.
TEST(RotorExportCommand, ReadsGgufFiles) {
  const TempDir dir;
  for (const std::string type : {"tq1_0", "tq2_0", "i2_s"}) {
    SCOPED_TRACE(type);
    const std::string source = test::golden_path("gguf/model-" + type + ".gguf");
    const CommandResult result = rotor_export({source, dir.file("m.rotor")});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("tokenizer: byte_level_bpe"), std::string::npos) << result.err;
    EXPECT_EQ(result.err.find("--i2s-order arm") != std::string::npos, type == "i2_s") << result.err;
    const RotorFile file(dir.file("m.rotor"));
    EXPECT_TRUE(file.verify().empty());
    EXPECT_EQ(file.text().bos_token, 286);
    EXPECT_EQ(file.text().stop_tokens, std::vector<int32_t>{287});
    const auto tokenizer = text::tokenizer_of(file);
    ASSERT_NE(tokenizer, nullptr);
    // "th", "the" and "Ġa", "an", "and" are merges, in that order.
    EXPECT_EQ(tokenizer->encode("the", text::SpecialTokens::as_text), std::vector<text::TokenId>{257});
    EXPECT_EQ(tokenizer->decode(std::vector<text::TokenId>{257, 32, 260}), "the and");
    const CommandResult run = test::run_command(
        {test::program("rotor"), "run", dir.file("m.rotor"), "-p", "the and", "-n", "4", "--temp", "0"});
    EXPECT_EQ(run.status, 0) << run.err;
    const CommandResult info = test::run_command({test::program("rotor"), "info", source});
    EXPECT_EQ(info.status, 0) << info.err;
    EXPECT_NE(info.out.find("general.architecture: bitnet"), std::string::npos) << info.out;
    EXPECT_NE(info.out.find("tokenizer.ggml.tokens: [288 texts]"), std::string::npos) << info.out;
  }
  const std::string source = test::golden_path("gguf/model-tq2_0.gguf");
  test::write_bytes(dir.file("m.gguf"), test::read_bytes(source));
  EXPECT_NE(rotor_export({dir.file("m.gguf"), dir.file("m.gguf")}).err.find("is the model that is exported"),
            std::string::npos);
  EXPECT_EQ(test::read_bytes(dir.file("m.gguf")), test::read_bytes(source));
  EXPECT_EQ(rotor_export({"--i2s-order", "mips", dir.file("m.gguf"), dir.file("x.rotor")}).status, 2);
}

// From a checkpoint to each format and back, told by names or --to, with what `rotor info` says of each.
TEST(RotorExportCommand, ConvertsEveryFormatIntoEveryOther) {
  const TempDir dir;
  const std::string source = test::golden_path("bitnet-256");
  const auto expect_written = [&](std::vector<std::string> arguments) {
    const CommandResult result = rotor_export(arguments);
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("of tensors, from"), std::string::npos) << result.err;
  };
  const auto info = [&](const std::string& path) {
    const CommandResult result = test::run_command({test::program("rotor"), "info", "--json", path});
    EXPECT_EQ(result.status, 0) << result.err;
    return parse_json(result.out, path);
  };
  expect_written({source, dir.file("m.rotor"), "--head", "f32"});
  expect_written({dir.file("m.rotor"), dir.file("tq1.gguf"), "--type", "tq1_0"});
  expect_written({dir.file("tq1.gguf"), dir.file("i2s.gguf")});
  expect_written({dir.file("i2s.gguf"), dir.file("masters"), "--to", "hf", "--dtype", "f32"});
  expect_written({dir.file("i2s.gguf"), dir.file("packed"), "--to", "hf-packed"});
  expect_written({dir.file("packed"), dir.file("again.rotor"), "--head", "f32"});
  EXPECT_EQ(info(source)["source"], "Hugging Face, packed codes");
  EXPECT_EQ(info(source)["scale_convention"], "weight = code * weight_scale (linear_class autobitlinear)");
  EXPECT_EQ(info(source)["tokenizer"], Json());
  EXPECT_EQ(info(source)["stop_tokens"], Json{299});
  EXPECT_EQ(info(dir.file("tq1.gguf"))["source"], "GGUF, TQ1_0");
  EXPECT_EQ(info(dir.file("i2s.gguf"))["source"], "GGUF, I2_S") << "as the type for squared ReLU";
  EXPECT_EQ(info(dir.file("i2s.gguf"))["bos_token"], 298);
  EXPECT_EQ(info(dir.file("masters"))["source"], "Hugging Face, float masters");
  EXPECT_EQ(info(dir.file("m.rotor"))["config"], info(dir.file("again.rotor"))["config"]);
  const RotorFile first(dir.file("m.rotor"));
  const RotorFile last(dir.file("again.rotor"));
  for (const TensorInfo& tensor : first.container().tensors()) {
    EXPECT_TRUE(std::ranges::equal(first.container().bytes(tensor),
                                   last.container().bytes(last.container().at(tensor.name))))
        << tensor.name;
  }
}

TEST(RotorExportCommand, OptionsMustSuitTheTarget) {
  const TempDir dir;
  const std::string source = test::golden_path("bitnet-256");
  const auto expect_usage = [&](std::vector<std::string> arguments, const std::string& part) {
    arguments.insert(arguments.begin(), source);
    const CommandResult result = rotor_export(arguments);
    EXPECT_EQ(result.status, 2);
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  };
  expect_usage({dir.file("m")}, "add --to rotor | gguf");
  expect_usage({dir.file("m"), "--to", "onnx"}, "gguf | hf | hf-packed | rotor, found \"onnx\"");
  expect_usage({dir.file("m.rotor"), "--dtype", "f32"}, "--dtype has no meaning");
  expect_usage({dir.file("m.gguf"), "--dtype", "f32"}, "--dtype has no meaning");
  expect_usage({dir.file("m"), "--to", "hf", "--head", "q8"}, "--head has no meaning");
  expect_usage({dir.file("m.rotor"), "--head", "bf16"}, "--head");
  expect_usage({dir.file("m.gguf"), "--type", "q4_0"}, "--type");
  expect_usage({dir.file("m.rotor"), "--ternarize", "sign"}, "--ternarize: expected absmean");
  const CommandResult dry = rotor_export({source, dir.file("m.gguf"), "--type", "tq2_0", "--dry-run"});
  EXPECT_NE(dry.err.find("blk.1.ffn_down.weight    TQ2_0 [256, 512]"), std::string::npos) << dry.err;
  const CommandResult hf = rotor_export({source, dir.file("m"), "--to", "hf-packed", "--dry-run"});
  EXPECT_NE(hf.err.find("weight_scale BF16 [1]"), std::string::npos) << hf.err;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

// Shards with an index, as large checkpoints are published.
TEST(RotorExportCommand, ReadsShards) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_transformer());
  ASSERT_EQ(rotor_export({dir.file("c"), dir.file("whole.rotor")}).status, 0);
  const std::string weights = dir.file("c/model.safetensors");
  Json index = {{"metadata", Json::object()}};
  {
    const SafetensorsFile file(weights);
    const auto& tensors = file.tensors();
    for (const size_t shard : {size_t{0}, size_t{1}}) {
      const std::string name =
          shard == 0 ? "model-00001-of-00002.safetensors" : "model-00002-of-00002.safetensors";
      std::vector<TensorDeclaration> part;
      for (size_t i = shard; i < tensors.size(); i += 2) part.push_back(tensors[i]);
      SafetensorsWriter writer(dir.file("c") + "/" + name, {}, part);
      for (const TensorDeclaration& tensor : part) {
        writer.write(file.bytes(file.at(tensor.name)));
        index["weight_map"][tensor.name] = name;
      }
      writer.commit();
    }
  }
  std::filesystem::remove(weights);
  test::write_bytes(dir.file("c/model.safetensors.index.json"), dump_json(index));
  const CommandResult result = rotor_export({dir.file("c"), dir.file("sharded.rotor")});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(test::read_bytes(dir.file("sharded.rotor")), test::read_bytes(dir.file("whole.rotor")));
  const CommandResult info = test::run_command({test::program("rotor"), "info", dir.file("c")});
  EXPECT_NE(info.out.find("model.norm.weight"), std::string::npos) << info.out;
  std::filesystem::remove(dir.file("c/model-00002-of-00002.safetensors"));
  const CommandResult half = rotor_export({dir.file("c"), dir.file("x.rotor")});
  EXPECT_EQ(half.status, 1);
  EXPECT_NE(half.err.find("model-00002-of-00002.safetensors"), std::string::npos) << half.err;
  index["weight_map"]["model.norm.weight"] = "../elsewhere.safetensors";
  test::write_bytes(dir.file("c/model.safetensors.index.json"), dump_json(index));
  EXPECT_NE(rotor_export({dir.file("c"), dir.file("x.rotor")}).err.find("a file beside the index"),
            std::string::npos);
}

TEST(RotorExportCommand, TernarizesQwen2) {
  const TempDir dir;
  test::write_golden_transformer(dir.file("qwen"), "qwen2-float-untied");
  for (const auto& [target, destination] : {std::pair{"rotor", "q.rotor"}, {"hf", "masters"}}) {
    const CommandResult result =
        rotor_export({"--ternarize", "absmean", "--to", target, dir.file("qwen"), dir.file(destination)});
    ASSERT_EQ(result.status, 0) << result.err;
    EXPECT_NE(result.err.find("qwen2 (Hugging Face, float masters, 2 shards)"), std::string::npos)
        << result.err;
    EXPECT_NE(result.err.find("it will speak noise until it is fine-tuned as a ternary model"),
              std::string::npos)
        << result.err;
  }
  EXPECT_TRUE(RotorFile(dir.file("q.rotor")).verify().empty());
  const CommandResult info = test::run_command({test::program("rotor"), "info", dir.file("q.rotor")});
  EXPECT_NE(info.out.find("qwen2"), std::string::npos) << info.out;
  EXPECT_NE(info.out.find("model.layers.1.self_attn.k_proj.bias"), std::string::npos) << info.out;
  const CommandResult run = test::run_command(
      {test::program("rotor"), "run", dir.file("q.rotor"), "--tokens", "5 6 7", "-n", "4", "--temp", "0"});
  EXPECT_EQ(run.status, 0) << run.err;
  const CommandResult again =
      rotor_export({"--ternarize", "absmean", dir.file("masters"), dir.file("x.rotor")});
  EXPECT_NE(again.err.find("ternary already"), std::string::npos) << again.err;
  const CommandResult plain = rotor_export({dir.file("qwen"), dir.file("q.gguf")});
  EXPECT_NE(plain.err.find("--ternarize absmean makes it ternary"), std::string::npos) << plain.err;
}

TEST(RotorExportCommand, FullDiskLeavesNothingUnderTheName) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  test::write_bytes(dir.file("m.rotor"), "precious");
  const CommandResult result = rotor_export({dir.file("c"), dir.file("m.rotor")}, {.max_file_bytes = 5000});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("m.rotor: cannot write"), std::string::npos) << result.err;
  EXPECT_EQ(test::read_bytes(dir.file("m.rotor")), "precious");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 2);
}

TEST(RotorExportCommand, DoesNotWriteOverItsSource) {
  const TempDir dir;
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  const std::string weights = test::read_bytes(dir.file("c/model.safetensors"));
  for (const char* inside : {"c/../c/model.safetensors", "c/m.rotor", "c"}) {
    const CommandResult result = rotor_export({"--to", "rotor", dir.file("c"), dir.file(inside)});
    EXPECT_EQ(result.status, 1);
    const std::string part =
        inside == std::string("c") ? "is the model that is exported" : "lies in the checkpoint";
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
  }
  EXPECT_EQ(test::read_bytes(dir.file("c/model.safetensors")), weights);
}

TEST(RotorExportCommand, BadSources) {
  const TempDir dir;
  const auto expect_failure = [&](const std::string& source, const std::string& part) {
    const CommandResult result = rotor_export({source, dir.file("m.rotor")});
    EXPECT_EQ(result.status, 1);
    EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  };
  expect_failure(dir.file("none"), "no such file or directory");
  expect_failure(dir.path(), "config.json");
  test::write_bytes(dir.file("file"), "x");
  expect_failure(dir.file("file"), "expected a checkpoint directory");
  test::write_random_checkpoint(dir.file("run/checkpoint"), test::small_mlp());
  expect_failure(dir.file("run"), "this is a run; its checkpoints are");
  std::string weights = test::read_bytes(dir.file("run/checkpoint/model.safetensors"));
  test::write_bytes(dir.file("run/checkpoint/model.safetensors"), weights.substr(0, 1000));
  expect_failure(dir.file("run/checkpoint"), "model.safetensors: ");
  EXPECT_EQ(rotor_export({dir.file("run/checkpoint")}).status, 2);
}

}  // namespace
}  // namespace rotor
