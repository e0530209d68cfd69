// Adapters as a user meets them: --adapter of the commands that run a model, rotor info, rotor-export.
#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/json.h"
#include "rotor/formats/safetensors.h"
#include "tests/support/adapters.h"
#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::CommandResult;

void expect_failure(const CommandResult& result, int status, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.status, status) << result.err;
  for (const std::string& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

/// The golden base of tests/golden/peft, and a random one with an adapter that knows it.
class AdapterCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new test::TempDir;
    test::write_golden_transformer(files_->file("golden"), "bitnet-online");
    ASSERT_EQ(run_program("rotor-export", {file("golden"), file("golden.rotor"), "--head", "f32"}).status, 0);
    test::write_random_checkpoint(file("base"), test::small_transformer());
    test::write_random_model(file("base.rotor"), test::small_transformer());
    test::write_random_adapter(file("adapter"), test::small_transformer(), 3, 1,
                               base_fingerprint(RotorFile(file("base.rotor"))));
    test::write_random_adapter(file("other"), test::small_transformer(), 3, 1, "0123456789abcdef");
  }
  static void TearDownTestSuite() { delete files_; }

  static std::string file(const std::string& name) { return files_->file(name); }
  static CommandResult run_program(const std::string& program, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), test::program(program));
    return test::run_command(arguments);
  }
  static CommandResult rotor(const std::vector<std::string>& arguments) {
    return run_program("rotor", arguments);
  }
  static CommandResult rotor_export(const std::vector<std::string>& arguments) {
    return run_program("rotor-export", arguments);
  }

  static inline test::TempDir* files_ = nullptr;
};

TEST_F(AdapterCommand, LogitsAreThoseOfPeft) {
  const auto golden = test::open_golden("peft/expected.safetensors");
  std::string ids;
  for (const int64_t id : golden.read<int64_t>("bitnet.prompt.2.ids")) ids += cat(ids.empty() ? "" : " ", id);
  const auto logits = [&](const std::vector<std::string>& adapters) {
    std::vector<std::string> arguments = {"logits", file("golden.rotor"), "--tokens", ids, "--out",
                                          file("l")};
    for (const std::string& adapter : adapters) {
      arguments.insert(arguments.end(), {"--adapter", test::golden_path("peft/" + adapter)});
    }
    const CommandResult result = rotor(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    return SafetensorsFile(file("l")).read<float>("logits");
  };
  const auto expect = [&](const std::vector<std::string>& adapters, const std::string& name) {
    const auto expected = golden.read<float>(name + ".logits.2");
    EXPECT_LT(test::largest_difference(logits(adapters), expected), test::kGoldenTolerance) << name;
  };
  expect({}, "bitnet");
  expect({"bitnet-a"}, "bitnet-a");
  expect({"bitnet-b:1.0"}, "bitnet-b");
  expect({"bitnet-a", "bitnet-b:-0.5"}, "bitnet-ab");
  expect({"bitnet-a:0"}, "bitnet");
}

TEST_F(AdapterCommand, RunAndBenchNameTheirAdapters) {
  const CommandResult run = rotor({"run", file("base.rotor"), "--tokens", "1 2 3", "-n", "4", "--temp", "0",
                                   "--json", "--adapter", file("adapter") + ":0.5"});
  ASSERT_EQ(run.status, 0) << run.err;
  EXPECT_NE(run.err.find("adapter, weight 0.5, 21 layers"), std::string::npos) << run.err;
  const Json of_run = parse_json(run.out, "run")["adapters"];
  ASSERT_EQ(of_run.size(), 1U);
  EXPECT_EQ(of_run[0]["path"], file("adapter"));
  EXPECT_EQ(of_run[0]["weight"], 0.5);
  EXPECT_EQ(of_run[0]["largest_rank"], 3);
  const auto bytes_per_token = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"bench", file("base.rotor"), "-p",    "2", "-n", "2", "-r",
                                          "1",     "--no-bandwidth",   "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const CommandResult bench = rotor(arguments);
    EXPECT_EQ(bench.status, 0) << bench.err;
    return parse_json(bench.out, "bench")["bytes_per_token"].get<int64_t>();
  };
  EXPECT_EQ(bytes_per_token({"--adapter", file("adapter")}) - bytes_per_token({}), of_run[0]["bytes"]);
  EXPECT_NE(rotor({"run", "--help"}).out.find("--adapter"), std::string::npos);
}

TEST_F(AdapterCommand, BadAdaptersAreErrors) {
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"run", file("base.rotor"), "--tokens", "1", "-n", "1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return rotor(arguments);
  };
  expect_failure(run({"--adapter", file("nowhere")}), 1, {"--adapter", "nowhere", "no such directory"});
  expect_failure(run({"--adapter", file("nowhere") + ":2"}), 1, {"no such directory"});
  expect_failure(run({"--adapter", file("adapter") + ":much"}), 2, {"DIR:WEIGHT", "much"});
  expect_failure(run({"--adapter", file("adapter") + ":inf"}), 2, {"finite"});
  expect_failure(run({"--adapter", file("adapter") + ":"}), 2, {"DIR:WEIGHT"});
  expect_failure(run({"--adapter", file("base")}), 1, {"no adapter_config.json"});
  expect_failure(run({"--adapter", test::golden_path("peft/bitnet-a")}), 1, {"bitnet-a", "base.rotor"});
  expect_failure(run({"--adapter", file("other")}), 1, {"0123456789abcdef", "base.rotor", "--any-base"});
  EXPECT_EQ(run({"--adapter", file("other"), "--any-base"}).status, 0);
}

TEST_F(AdapterCommand, InfoDescribesAdaptersAndFingerprints) {
  const CommandResult text = rotor({"info", test::golden_path("peft/bitnet-b")});
  ASSERT_EQ(text.status, 0) << text.err;
  for (const char* part : {"LoRA adapter (PEFT)", "base: bitnet, fingerprint unknown", "parameters: 11264",
                           "model.layers.1.mlp.down_proj", "rank 16   scale 1", "lora_alpha: 4"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part << "\n" << text.out;
  }
  const auto json = [&](const std::string& path) {
    return parse_json(rotor({"info", "--json", path}).out, path);
  };
  const Json adapter = json(file("adapter"));
  EXPECT_EQ(adapter["format"], "adapter");
  EXPECT_EQ(adapter["layers"].size(), 21U);
  EXPECT_EQ(adapter["layers"][0]["rank"], 3);
  EXPECT_EQ(adapter["base_fingerprint"], json(file("base.rotor"))["fingerprint"]);
  EXPECT_NE(rotor({"info", file("base.rotor")}).out.find("fingerprint: "), std::string::npos);
}

TEST_F(AdapterCommand, ExportMergesAndSaysWhatFlipped) {
  for (const std::string base : {"base", "base.rotor"}) {
    const CommandResult result =
        rotor_export({file(base), file("merged.rotor"), "--adapter", file("adapter")});
    ASSERT_EQ(result.status, 0) << result.err;
    for (const char* part : {"with 1 adapter", "% flipped, scale ", "merged: ", "weights flipped, scales ",
                             "loss: rotor perplexity", "q_proj", "down_proj"}) {
      EXPECT_NE(result.err.find(part), std::string::npos) << part << "\n" << result.err;
    }
    const RotorFile merged(file("merged.rotor"));
    EXPECT_TRUE(merged.verify().empty());
    EXPECT_NE(base_fingerprint(merged), base_fingerprint(RotorFile(file("base.rotor"))));
  }
  const CommandResult nothing =
      rotor_export({file("base"), file("same.rotor"), "--adapter", file("adapter") + ":0"});
  EXPECT_NE(nothing.err.find(" 0.000 % of"), std::string::npos) << nothing.err;
  EXPECT_EQ(base_fingerprint(RotorFile(file("same.rotor"))), base_fingerprint(RotorFile(file("base.rotor"))));
  const CommandResult dry =
      rotor_export({"--dry-run", file("base"), file("dry.rotor"), "--adapter", file("adapter")});
  EXPECT_EQ(dry.status, 0) << dry.err;
  EXPECT_FALSE(std::filesystem::exists(file("dry.rotor")));
}

TEST_F(AdapterCommand, TheTemplateThatWasLearntGoesAlong) {
  const auto with_template = [](const std::string& name, const std::string& text) {
    test::write_random_adapter(file(name), test::small_transformer(), 2);
    test::write_bytes(file(name) + "/chat_template.jinja", text);
  };
  with_template("chatty", "<{{ messages[0].content }}>");
  with_template("other-chatty", "[{{ messages[0].content }}]");
  std::filesystem::copy(file("base"), file("chat-base"));
  std::filesystem::create_directory(file("chat-base") + "/additional_chat_templates");
  test::write_bytes(file("chat-base") + "/chat_template.jinja", "the base's");
  test::write_bytes(file("chat-base") + "/additional_chat_templates/tool_use.jinja",
                    "the base's, with tools");
  test::write_bytes(file("chat.json"), R"([{"role": "user", "content": "Hi"}])");
  const auto said = [](const std::string& model) {
    return rotor({"chat-template", file(model), "--messages", file("chat.json")}).out;
  };
  EXPECT_EQ(said("chatty"), "<Hi>");
  for (const std::string base : {"base", "chat-base"}) {
    for (const std::string to : {"rotor", "hf"}) {
      const std::string out = cat("with-template-", base, "-", to);
      const CommandResult result = rotor_export({file(base), file(out), "--to", to, "--adapter",
                                                 file("chatty"), "--adapter", file("other-chatty")});
      ASSERT_EQ(result.status, 0) << result.err;
      EXPECT_NE(result.err.find("chatty takes the place of the model's"), std::string::npos) << result.err;
      EXPECT_NE(result.err.find("left out"), std::string::npos) << result.err;
      EXPECT_EQ(said(out), "<Hi>") << out;
      EXPECT_FALSE(std::filesystem::exists(file(out) + "/additional_chat_templates"))
          << "the base's others go";
    }
  }
}

TEST_F(AdapterCommand, ExportRefusesOtherBases) {
  expect_failure(rotor_export({file("base"), file("x.rotor"), "--adapter", file("other")}), 1,
                 {"0123456789abcdef", "--any-base"});
  expect_failure(rotor_export({file("golden"), file("x.rotor"), "--adapter", file("adapter")}), 1,
                 {"adapter"});
  EXPECT_FALSE(std::filesystem::exists(file("x.rotor")));
  EXPECT_EQ(rotor_export({file("base"), file("x.rotor"), "--adapter", file("other"), "--any-base"}).status,
            0);
}

}  // namespace
}  // namespace rotor
