// `rotor` as a user meets it: results on stdout, one line and exit 1 for bad input, and no LibTorch in it.
#include <gtest/gtest.h>

#include <sstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/byte_level_bpe.h"
#include "tests/support/command.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor {
namespace {

using test::CommandResult;
using test::run_command;
using test::TempDir;

/// One line on stderr that contains all parts, nothing on stdout, exit 1.
void expect_one_line_error(const CommandResult& result, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const std::string& part : parts) EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
}

class RotorCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_random_model(model_, test::small_mlp());
    test::write_idx_dataset(dir_.file("data"), 1, 150);
  }
  CommandResult rotor(std::vector<std::string> arguments, const test::CommandOptions& options = {}) const {
    arguments.insert(arguments.begin(), test::program("rotor"));
    return run_command(arguments, options);
  }

  TempDir dir_;
  std::string model_ = dir_.file("m.rotor");
  std::string data_ = dir_.file("data");
};

TEST_F(RotorCommand, LinksNoLibTorch) {
#ifdef ROTOR_HAS_RAG
  const std::string with_blas = "rotor";  // FAISS, of knowledge bases, computes with it
#else
  const std::string with_blas;
#endif
  for (const char* name : {"rotor", "rotor-export"}) {
    const CommandResult ldd = run_command({"ldd", test::program(name)});
    ASSERT_EQ(ldd.status, 0) << ldd.err;
    EXPECT_NE(ldd.out.find("libc.so"), std::string::npos);
    for (const std::string library : {"libtorch", "libc10", "libyaml", "blas"}) {
      if (library == "blas" && name == with_blas) continue;
      EXPECT_EQ(ldd.out.find(library), std::string::npos) << name << " links " << library;
    }
  }
}

TEST_F(RotorCommand, KernelObjectsDefineNoWeakFunctions) {
  // A weak function (W) of an object compiled for a newer processor could be kept for the whole program. Weak
  // data (V) hold no code; sanitizers add some.
  std::vector<std::string> command = {"nm", "--defined-only", "-C"};
  std::istringstream objects(ROTOR_KERNEL_OBJECTS);  // separated by colons
  for (std::string object; std::getline(objects, object, ':');) command.push_back(object);
  const CommandResult nm = run_command(command);
  ASSERT_EQ(nm.status, 0) << nm.err;
  EXPECT_NE(nm.out.find("::kSet"), std::string::npos);
  EXPECT_EQ(nm.out.find(" W "), std::string::npos) << nm.out;
}

TEST_F(RotorCommand, HelpAndUsage) {
  EXPECT_NE(rotor({"--help"}).out.find("classify"), std::string::npos);
  EXPECT_NE(rotor({"classify", "--help"}).out.find("examples:"), std::string::npos);
  EXPECT_EQ(rotor({"--version"}).status, 0);
  EXPECT_EQ(rotor({}).status, 2);
  EXPECT_EQ(rotor({"dance"}).status, 2);
  EXPECT_EQ(rotor({"info"}).status, 2);
  EXPECT_EQ(rotor({"info", model_, "--jsno"}).status, 2);
  EXPECT_EQ(rotor({"info", model_, "more"}).status, 2);
  EXPECT_EQ(rotor({"classify", model_}).status, 2);
}

TEST_F(RotorCommand, ClassifyPrintsJson) {
  const CommandResult result = rotor({"classify", model_, "--data", data_, "--json", "-t", "2"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "stdout");
  EXPECT_EQ(json["images"], 150);
  EXPECT_GE(json["accuracy"], 0.0);
  EXPECT_LE(json["accuracy"], 1.0);
  EXPECT_GT(json["images_per_second"], 0.0);
  EXPECT_EQ(json["threads"], 2);
  EXPECT_EQ(json["confusion"].size(), 10U);
  EXPECT_NE(result.err.find("backend cpu, kernels"), std::string::npos);
  const CommandResult limited = rotor({"classify", model_, "--data", data_, "--limit", "20"});
  EXPECT_NE(limited.out.find("of 20)"), std::string::npos) << limited.out;
  EXPECT_NE(limited.out.find("confusion"), std::string::npos);
}

TEST_F(RotorCommand, KernelsCanBeForcedAndGiveTheSameAnswer) {
  const CommandResult free = rotor({"classify", model_, "--data", data_, "--json"});
  const CommandResult scalar =
      rotor({"classify", model_, "--data", data_, "--json"}, {.environment = {{"ROTOR_KERNELS", "scalar"}}});
  ASSERT_EQ(scalar.status, 0) << scalar.err;
  EXPECT_EQ(parse_json(scalar.out, "out")["kernels"], "scalar");
  EXPECT_EQ(parse_json(scalar.out, "out")["confusion"], parse_json(free.out, "out")["confusion"]);
  expect_one_line_error(
      rotor({"classify", model_, "--data", data_}, {.environment = {{"ROTOR_KERNELS", "sse9"}}}),
      {"ROTOR_KERNELS", "sse9"});
  expect_one_line_error(
      rotor({"classify", model_, "--data", data_}, {.environment = {{"ROTOR_BACKEND", "tpu"}}}),
      {"ROTOR_BACKEND", "tpu"});
}

TEST_F(RotorCommand, InfoDescribesEveryFormat) {
  const CommandResult json = rotor({"info", model_, "--json"});
  ASSERT_EQ(json.status, 0) << json.err;
  const Json info = parse_json(json.out, "out");
  EXPECT_EQ(info["format"], "rotor");
  EXPECT_EQ(info["config"]["layer_sizes"], (std::vector<int>{64, 37, 18, 10}));
  EXPECT_EQ(info["tensors"][0]["dtype"], "ternary");
  EXPECT_EQ(info["tensors"][0]["shape"], (std::vector<int>{37, 64}));
  EXPECT_NE(rotor({"info", model_}).out.find("% zeros"), std::string::npos);
  test::write_random_checkpoint(dir_.file("c"), test::small_mlp());
  EXPECT_NE(rotor({"info", dir_.file("c")}).out.find("Hugging Face, float masters"), std::string::npos);
  EXPECT_NE(rotor({"info", dir_.file("c/model.safetensors")}).out.find("safetensors"), std::string::npos);
}

/// A tiktoken file of the 256 single bytes and "ab".
std::string small_tiktoken() {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string lines;
  for (size_t byte = 0; byte < 256; ++byte) {
    lines += cat(kDigits[byte >> 2], kDigits[(byte & 3) << 4], "== ", byte, "\n");
  }
  return lines + "YWI= 256\n";
}

TEST_F(RotorCommand, TokenizePrintsIdsAndText) {
  const std::string tokenizer = dir_.file("tokenizer.model");
  test::write_bytes(tokenizer, small_tiktoken());
  EXPECT_EQ(rotor({"tokenize", tokenizer, "abc"}).out, "[256,99]\n");
  EXPECT_EQ(rotor({"tokenize", tokenizer, ""}).out, "[]\n");
  EXPECT_EQ(rotor({"tokenize", tokenizer, "--decode", "[256, 99]"}).out, "abc\n");
  test::write_bytes(dir_.file("texts"), "{\"text\": \"ab\"}\n\n{\"text\": \"c\", \"more\": 1}\n");
  EXPECT_EQ(rotor({"tokenize", tokenizer, "--jsonl", dir_.file("texts")}).out, "[256]\n[99]\n");
  EXPECT_EQ(run_command(
                {"sh", "-c", "printf 'ab\\377' | \"$0\" tokenize \"$1\"", test::program("rotor"), tokenizer})
                .out,
            "[256,255]\n");
  expect_one_line_error(rotor({"tokenize", tokenizer, "--decode", "[257]"}), {"0 to 256", "257"});
  expect_one_line_error(rotor({"tokenize", tokenizer, "--decode", "3"}), {"--decode"});
  test::write_bytes(dir_.file("texts"), "[1]\n");
  expect_one_line_error(rotor({"tokenize", tokenizer, "--jsonl", dir_.file("texts")}), {"texts:1", "text"});
  expect_one_line_error(rotor({"tokenize", model_, "a"}), {"m.rotor", "no tokenizer"});
  test::write_model_with(dir_.file("t.rotor"), text::load_tokenizer(tokenizer)->attachments());
  EXPECT_EQ(rotor({"tokenize", dir_.file("t.rotor"), "abc"}).out, "[256,99]\n");
  EXPECT_EQ(rotor({"verify", dir_.file("t.rotor")}).status, 0);
  EXPECT_EQ(rotor({"tokenize"}).status, 2);
}

TEST_F(RotorCommand, ChatTemplatePrintsTheText) {
  const std::string jinja = dir_.file("t.jinja");
  const std::string chat = dir_.file("chat.json");
  test::write_bytes(
      jinja,
      "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
      "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}assistant: {% endif %}");
  test::write_bytes(chat, R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yo"}])");
  test::write_bytes(dir_.file("tools.json"), R"([{"b": 1, "a": 2}])");
  EXPECT_EQ(rotor({"chat-template", jinja, "--messages", chat}).out, "user: Hi\nassistant: Yo\nassistant: ");
  EXPECT_EQ(rotor({"chat-template", jinja, "--messages", chat, "--no-generation-prompt", "--tools",
                   dir_.file("tools.json"), "--set", R"({"bos_token": "<s>"})"})
                .out,
            "<s>user: Hi\nassistant: Yo\n[{\"b\": 1, \"a\": 2}]");
  EXPECT_EQ(rotor({"chat-template", jinja, "--messages", chat, "--continue"}).out, "user: Hi\nassistant: Yo");
  const CommandResult marked =
      rotor({"chat-template", jinja, "--messages", chat, "--no-generation-prompt", "--answers"});
  EXPECT_EQ(parse_json(marked.out, "out")["answers"], Json::array({{20, 23}})) << marked.err;
  // Of a model file, whose tokenizer names the special tokens.
  RotorAttachments attachments = text::ByteLevelBpe(test::small_bpe()).attachments();
  attachments.set_chat_template("{{ messages[0].content }}{{ eos_token }}");
  attachments.set_stop_tokens({263});
  test::write_model_with(dir_.file("t.rotor"), attachments);
  EXPECT_EQ(rotor({"chat-template", dir_.file("t.rotor"), "--messages", chat}).out, "Hi<|end|>");
  expect_one_line_error(rotor({"chat-template", model_, "--messages", chat}),
                        {"m.rotor", "no chat template"});
  test::write_bytes(chat, R"([{"content": "Hi"}])");
  expect_one_line_error(rotor({"chat-template", jinja, "--messages", chat}),
                        {"messages[0]", "role is missing"});
  test::write_bytes(jinja, "a\n{% if %}");
  expect_one_line_error(rotor({"chat-template", jinja, "--messages", chat}),
                        {"t.jinja: line 2", "expression"});
  EXPECT_EQ(rotor({"chat-template", jinja}).status, 2);
}

TEST_F(RotorCommand, VerifyFindsDamage) {
  EXPECT_EQ(rotor({"verify", model_}).status, 0);
  const std::string good = test::read_bytes(model_);
  const RotorFile file(model_);
  const size_t planes = file.container().data_offset() + file.container().at("layers.0.linear.weight").begin;

  std::string flipped = good;
  const size_t plus =
      planes + 4;  // set a bit that is free in both planes, or clear one: either way only the sum tells
  flipped[plus] = static_cast<char>(good[plus] ^ (good[plus + 64] & 1 ? 0 : 1));
  if (flipped == good) flipped[plus] = static_cast<char>(good[plus] & ~1);
  if (flipped == good) flipped[plus + 64] = static_cast<char>(good[plus + 64] & ~1);
  test::write_bytes(dir_.file("bad"), flipped);
  expect_one_line_error(rotor({"verify", dir_.file("bad")}), {"layers.0.linear.weight", "checksum"});
  expect_one_line_error(rotor({"classify", dir_.file("bad"), "--data", data_, "--check"}), {"checksum"});

  std::string sentinel = good;
  sentinel[planes] |= 1;
  sentinel[planes + 64] |= 1;
  test::write_bytes(dir_.file("bad"), sentinel);
  const CommandResult result = rotor({"verify", dir_.file("bad")});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("layers.0.linear.weight\": row 0, column 0: the pair (1,1)"), std::string::npos)
      << result.err;

  test::write_bytes(dir_.file("bad"), good.substr(0, good.size() / 2));
  for (const char* command : {"verify", "info"}) {
    expect_one_line_error(rotor({command, dir_.file("bad")}), {"bad", "truncated"});
  }
  expect_one_line_error(rotor({"verify", "--max-faults", "0", dir_.file("bad")}), {"--max-faults"});
  expect_one_line_error(rotor({"verify", dir_.file("none")}), {"none", "No such file"});
  expect_one_line_error(rotor({"info", data_}), {"config.json"});
}

TEST_F(RotorCommand, ErrorsStayOnOneLineAndOffTheTerminal) {
  const std::string header = "{\"a\\nb\\u001b[31m\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,2]}}";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  test::write_bytes(dir_.file("bad"), bytes + header + "xx");
  const CommandResult result = rotor({"info", dir_.file("bad")});
  expect_one_line_error(result, {"a\\nb\\x1b[31m"});
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
}

TEST_F(RotorCommand, BadDataAndNumbers) {
  expect_one_line_error(rotor({"classify", model_, "--data", dir_.file("nowhere")}),
                        {"nowhere", "no such file"});
  expect_one_line_error(rotor({"classify", model_, "--data", data_, "--limit", "0"}), {"--limit"});
  expect_one_line_error(rotor({"classify", model_, "--data", data_, "--batch", "0"}), {"--batch"});
  expect_one_line_error(rotor({"classify", model_, "--data", data_, "-t", "0"}), {"--threads"});
  test::write_idx_dataset(dir_.file("wide"), 1, 3, 9);
  expect_one_line_error(rotor({"classify", model_, "--data", dir_.file("wide")}), {"9x9 = 81 pixels", "64"});
  EXPECT_EQ(rotor({"classify", model_, "--data", data_, "--limit", "many"}).status, 2);
  test::write_idx_dataset(dir_.file("empty"), 1, 0);
  expect_one_line_error(rotor({"classify", model_, "--data", dir_.file("empty")}), {"no images"});
}

}  // namespace
}  // namespace rotor
