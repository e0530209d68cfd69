// `rotor run`, `logits` and `perplexity` as a user meets them, on the checkpoint of tests/golden/bitnet-tiny:
// alone, and with a small tokenizer in its file.
#include <gtest/gtest.h>

#include <cmath>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/stream_decoder.h"
#include "tests/support/command.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor {
namespace {

using test::CommandOptions;
using test::CommandResult;
using test::run_command;
using test::TempDir;

/// Exit 1, nothing on stdout, and a last line on stderr that contains all parts.
void expect_error(const CommandResult& result, const std::vector<std::string>& parts) {
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_EQ(result.out, "");
  const std::string line = result.err.substr(0, result.err.find_last_not_of('\n') + 1);
  const std::string last = line.substr(line.rfind('\n') + 1);
  for (const std::string& part : parts) EXPECT_NE(last.find(part), std::string::npos) << result.err;
}

/// The model of `source` with `attachments`, in another file.
void attach(const std::string& source, const std::string& target, const RotorAttachments& attachments,
            DenseFormat dense = {}) {
  const RotorFile file(source);
  RotorWriter writer(target, file.config(), dense, attachments);
  for (const TensorSpec& spec : tensor_table(file.config())) {
    if (is_ternary(file.config(), spec)) {
      const TernaryMatrix matrix = file.ternary(spec.name);
      writer.write_ternary(spec.name, matrix.tiles, matrix.scale);
    } else {
      writer.write_floats(spec.name, file.container().read<float>(spec.name));
    }
  }
  writer.commit();
}

std::string joined(const std::vector<int64_t>& ids) {
  std::string text;
  for (const int64_t id : ids) text += cat(text.empty() ? "" : " ", id);
  return text;
}

constexpr int64_t kVocab = 1027;  // of the model
constexpr int kBos = 264;         // of the tokenizer below
constexpr int kEos = 265;

class LanguageModelCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new TempDir;
    test::write_golden_transformer(files_->file("checkpoint"), "packed");
    exporting::export_rotor(Checkpoint(files_->file("checkpoint")), files_->file("bare.rotor"),
                            {.head = DenseType::f32}, [](const auto&) {});
    text::BpeDefinition definition = test::small_bpe();
    for (const char* special : {"<|begin_of_text|>", "<|end_of_text|>"}) {
      definition.specials.emplace_back(special, static_cast<text::TokenId>(definition.tokens.size()));
      definition.tokens.emplace_back(special);
    }
    const text::ByteLevelBpe tokenizer(definition);
    ASSERT_EQ(tokenizer.bos(), kBos);
    ASSERT_EQ(tokenizer.eos(), kEos);
    attach(files_->file("bare.rotor"), files_->file("text.rotor"), tokenizer.attachments());
    attach(files_->file("bare.rotor"), files_->file("screened.rotor"), tokenizer.attachments(),
           {DenseType::q8, true});
  }
  static void TearDownTestSuite() {
    delete files_;
    files_ = nullptr;
  }

  static CommandResult rotor(std::vector<std::string> arguments, const CommandOptions& options = {}) {
    arguments.insert(arguments.begin(), test::program("rotor"));
    return run_command(arguments, options);
  }
  static Json run_json(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"run", text_});
    arguments.insert(arguments.end(), {"--json", "-t", "1"});
    const CommandResult result = rotor(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    return parse_json(result.status == 0 ? result.out : "{}", "stdout");
  }

  inline static TempDir* files_ = nullptr;
  inline static std::string bare_;  // no tokenizer
  inline static std::string text_;  // with one
  TempDir dir_;

  void SetUp() override {
    bare_ = files_->file("bare.rotor");
    text_ = files_->file("text.rotor");
  }
};

TEST_F(LanguageModelCommand, RunGivesTheReferencesGreedyTokens) {
  const auto golden = test::open_golden("bitnet-tiny/expected.safetensors");
  for (const std::string prompt : {"0", "1", "2"}) {
    const auto expected = golden.read<int64_t>("packed.f32.greedy." + prompt);
    const std::string tokens = joined(golden.read<int64_t>("prompt." + prompt + ".ids"));
    std::vector<std::string> arguments = {"run",    bare_, "--tokens", tokens, "-n",          "16",
                                          "--temp", "0",   "--kv",     "f32",  "--ignore-eos"};
    const CommandResult plain = rotor(arguments);
    EXPECT_EQ(plain.status, 0) << plain.err;
    EXPECT_EQ(plain.out, joined(expected) + "\n");
    EXPECT_NE(plain.err.find("backend cpu, kernels"), std::string::npos) << plain.err;
    EXPECT_NE(plain.err.find("generated 16 tokens"), std::string::npos) << plain.err;
    arguments.insert(arguments.end(), {"--json", "-t", "2", "-b", "3"});
    const CommandResult json = rotor(arguments);
    ASSERT_EQ(json.status, 0) << json.err;
    const Json result = parse_json(json.out, "stdout");
    EXPECT_EQ(result["ids"], expected);
    EXPECT_EQ(result["stop_reason"], "length");
    EXPECT_EQ(result["generated_tokens"], 16);
    EXPECT_EQ(result["threads"], 2);
    EXPECT_GT(result["prompt_tokens_per_second"], 0.0);
    EXPECT_GT(result["decode_tokens_per_second"], 0.0);
    EXPECT_FALSE(result.contains("text"));
  }
}

TEST_F(LanguageModelCommand, RunStreamsText) {
  const std::vector<std::string> arguments = {"run", text_, "-p", "abc ab",      "-n",
                                              "40",  "-s",  "5",  "--ignore-eos"};
  const CommandResult result = rotor(arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(text::valid_utf8_prefix(result.out), result.out.size());
  EXPECT_EQ(result.out.back(), '\n');
  EXPECT_NE(result.err.find("generated 40 tokens"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("seed 5"), std::string::npos) << result.err;
  const Json json = run_json({"-p", "abc ab", "-n", "40", "-s", "5", "--ignore-eos"});
  const auto text = json["text"].get<std::string>();
  EXPECT_EQ(result.out, text.back() == '\n' ? text : text + "\n");
  auto with_echo = arguments;
  with_echo.emplace_back("--echo");
  EXPECT_EQ(rotor(with_echo).out, "abc ab" + result.out);
  EXPECT_NE(run_json({"-p", "abc ab", "-n", "40", "-s", "6", "--ignore-eos"})["ids"], json["ids"]);
  for (const Json& id : json["ids"]) EXPECT_LT(id, kEos + 1);  // the model has more
}

TEST_F(LanguageModelCommand, RunBeginsTextsAsTheModelDoes) {
  EXPECT_EQ(run_json({"-p", "abc", "-n", "1"})["prompt_tokens"], 2);
  EXPECT_EQ(run_json({"-p", "abc", "-n", "1", "--no-bos"})["prompt_tokens"], 1);
  EXPECT_EQ(run_json({"-n", "1"})["prompt_tokens"], 1);
  EXPECT_EQ(run_json({"-p", "", "-n", "1", "--no-bos"})["prompt_tokens"], 1);
  EXPECT_EQ(run_json({"-p", "<|end|>abc", "-n", "1", "--special"})["prompt_tokens"], 3);
  EXPECT_EQ(run_json({"-p", "<|begin_of_text|>abc", "-n", "1", "--special"})["prompt_tokens"], 2);
  EXPECT_EQ(run_json({"-p", "<|end|>", "-n", "1"})["prompt_tokens"], 8);
  EXPECT_EQ(run_json({"--tokens", "97,98 99", "-n", "1"})["prompt_tokens"], 3);
  test::write_bytes(dir_.file("prompt"), "abc\n");
  EXPECT_EQ(run_json({"-f", dir_.file("prompt"), "-n", "1"})["prompt_tokens"], 3);
}

TEST_F(LanguageModelCommand, RunObeysSamplingFlags) {
  // Only three tokens left: a bias that drowns all others.
  const std::vector<std::string> three = {
      "-p",     "abc", "-n",      "60", "-l",      "97+1000", "--logit-bias", "98+1000", "-l", "265+1000",
      "--temp", "1e6", "--top-p", "1",  "--min-p", "0",       "--top-k",      "3",       "-s", "1"};
  auto arguments = three;
  const Json stopped = run_json(arguments);
  EXPECT_EQ(stopped["stop_reason"], "stop_token");
  EXPECT_LT(stopped["generated_tokens"], 60);
  arguments.insert(arguments.end(), {"--ignore-eos", "--top-k", "2"});
  const Json unstopped = run_json(arguments);
  EXPECT_EQ(unstopped["stop_reason"], "length");
  EXPECT_EQ(unstopped["text"].get<std::string>().size(), 60U);
  EXPECT_EQ(unstopped["text"].get<std::string>().find_first_not_of("ab"), std::string::npos);
  arguments.insert(arguments.end(), {"--stop", "aba", "-r", "xyz"});
  const Json by_string = run_json(arguments);
  EXPECT_EQ(by_string["stop_reason"], "stop_string");
  const auto text = unstopped["text"].get<std::string>();
  EXPECT_EQ(by_string["text"], text.substr(0, text.find("aba")));
  // A presence penalty above the bias forbids repetition.
  const Json varied = run_json(
      {"-p", "abc", "-n", "2", "-l", "97+1000", "-l", "98+900", "--temp", "0", "--presence-penalty", "500"});
  EXPECT_EQ(varied["ids"], (std::vector<int>{97, 98}));
}

TEST_F(LanguageModelCommand, RunEndsWithTheContext) {
  const Json full = run_json({"--tokens", "97 98 99", "-c", "5", "--ignore-eos"});
  EXPECT_EQ(full["stop_reason"], "context");
  EXPECT_EQ(full["generated_tokens"], 3);
  const std::string tokens = joined(std::vector<int64_t>(20, 97));
  expect_error(rotor({"run", text_, "--tokens", tokens, "-c", "16"}),
               {"at most 16 tokens", "found 20", "--truncate-prompt"});
  const Json cut = run_json({"--tokens", tokens, "-c", "16", "-n", "4", "--truncate-prompt", "--ignore-eos"});
  EXPECT_EQ(cut["prompt_tokens"], 12);
  EXPECT_EQ(cut["stop_reason"], "length");
  // The beginning stays a beginning; what follows it is the end of the prompt.
  const Json with_bos =
      run_json({"-p", "ddddddddddddddxy", "-c", "6", "-n", "3", "--truncate-prompt", "--temp", "0"});
  EXPECT_EQ(with_bos["prompt_tokens"], 3);
  EXPECT_EQ(with_bos["ids"], run_json({"--tokens", "264 120 121", "-n", "3", "--temp", "0"})["ids"]);
  EXPECT_EQ(run_json({"--tokens", "97", "-n", "0"})["generated_tokens"], 0);
}

TEST_F(LanguageModelCommand, RunSaysWhatIsWrong) {
  expect_error(rotor({"run", bare_, "-p", "abc"}), {"bare.rotor", "no tokenizer", "--tokens"});
  expect_error(rotor({"run", bare_, "--tokens", "1", "--stop", "x"}), {"no tokenizer", "--stop"});
  expect_error(rotor({"run", bare_, "--tokens", "1 1027"}), {"--tokens", "0 to 1026", "\"1027\""});
  expect_error(rotor({"run", text_, "--tokens", "1 266"}), {"--tokens", "0 to 265", "\"266\""});
  expect_error(rotor({"run", bare_, "--tokens", "1 x"}), {"--tokens", "\"x\""});
  expect_error(rotor({"run", bare_, "--tokens", "-1"}), {"--tokens", "\"-1\""});
  expect_error(rotor({"run", bare_, "--tokens", " "}), {"--tokens", "at least one"});
  expect_error(rotor({"run", bare_, "--tokens", "99999999999999999999"}), {"--tokens"});
  expect_error(rotor({"run", text_, "-f", dir_.file("none")}), {"none", "cannot read"});
  expect_error(rotor({"run", text_, "-l", "5"}), {"--logit-bias", "\"5\""});
  expect_error(rotor({"run", text_, "-l", "266+1"}), {"logit_bias", "0 to 265", "266"});
  expect_error(rotor({"run", text_, "--top-p", "2"}), {"top_p", "0 to 1"});
  expect_error(rotor({"run", text_, "--temp", "-1"}), {"temperature"});
  expect_error(rotor({"run", text_, "--kv", "q4"}), {"--kv", "f32, f16 or q8", "q4"});
  expect_error(rotor({"run", text_, "--activations", "int4"}), {"--activations", "int4"});
  expect_error(rotor({"run", text_, "-c", "1000000"}), {"--ctx-size", "1000000"});
  expect_error(rotor({"run", text_, "-n", "-2"}), {"--predict", "-2"});
  expect_error(rotor({"run", text_, "-t", "0"}), {"--threads"});
  expect_error(rotor({"run", text_, "-b", "0"}), {"--batch-size"});
  expect_error(rotor({"run", text_, "--stop", ""}), {"stop string"});
  expect_error(rotor({"run", text_, "--backend", "tpu"}), {"--backend", "tpu"});
  expect_error(rotor({"run", dir_.file("none")}), {"none", "No such file"});
  EXPECT_EQ(rotor({"run", text_, "-p", "a", "--tokens", "1"}).status, 2);
  EXPECT_EQ(rotor({"run", text_, "--temp", "hot"}).status, 2);
  EXPECT_EQ(rotor({"run"}).status, 2);
  test::write_random_model(dir_.file("mlp.rotor"), test::small_mlp());
  expect_error(rotor({"run", dir_.file("mlp.rotor"), "--tokens", "1"}), {"mlp.rotor", "mlp"});
  // A tokenizer of 266 tokens in a model of 101.
  test::write_random_model(dir_.file("small.rotor"), test::small_transformer());
  expect_error(rotor({"run", dir_.file("small.rotor")}), {"small.rotor", "cannot be empty", "--tokens"});
  attach(dir_.file("small.rotor"), dir_.file("misfit.rotor"),
         text::ByteLevelBpe(test::small_bpe()).attachments());
  expect_error(rotor({"run", dir_.file("misfit.rotor"), "-p", "a"}),
               {"misfit.rotor", "tokenizer", "101", "264"});
}

TEST_F(LanguageModelCommand, RunEndsQuietlyWhenNobodyReads) {
  const CommandResult result =
      run_command({"bash", "-c", "\"$0\" run \"$1\" -p a -n 4000 --ignore-eos | head -c 1 > /dev/null",
                   test::program("rotor"), text_});
  EXPECT_EQ(result.err.find("rotor:"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("generated"), std::string::npos) << "it ran to its end: " << result.err;
}

TEST_F(LanguageModelCommand, RunCanBeInterrupted) {
  const CommandResult result = rotor({"run", text_, "-p", "a", "--ignore-eos", "--activations", "float"},
                                     {.interrupt_after_ms = 50, .interrupt_after = "backend"});
  EXPECT_EQ(result.status, 130) << result.err;
  EXPECT_NE(result.err.find("end: interrupted"), std::string::npos) << result.err;
  EXPECT_TRUE(result.out.empty() || result.out.ends_with('\n'));
}

TEST_F(LanguageModelCommand, LogitsAreTheReferences) {
  const auto golden = test::open_golden("bitnet-tiny/expected.safetensors");
  const std::string tokens = joined(golden.read<int64_t>("prompt.1.ids"));
  const std::string out = dir_.file("logits.safetensors");
  const CommandResult result =
      rotor({"logits", bare_, "--tokens", tokens, "--out", out, "--hidden", "-b", "4"});
  ASSERT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "");
  const SafetensorsFile file(out);
  EXPECT_EQ(file.at("logits").shape, (std::vector<int64_t>{7, kVocab}));
  const auto compare = [](const std::vector<float>& found, std::span<const float> expected) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-3) << i;  // README there
  };
  compare(file.read<float>("logits"), golden.read<float>("packed.f32.logits.1"));
  const auto states = golden.read<float>("packed.f32.hidden.1");
  for (size_t i = 0; i < 6; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(file.at(cat("hidden.", i)).shape, (std::vector<int64_t>{7, 256}));
    compare(file.read<float>(cat("hidden.", i)), std::span(states).subspan(i * 7 * 256, 7 * 256));
  }
  ASSERT_EQ(rotor({"logits", bare_, "--tokens", "5", "--out", out}).status, 0);
  EXPECT_EQ(SafetensorsFile(out).tensors().size(), 1U);
}

TEST_F(LanguageModelCommand, LogitsSayWhatIsWrong) {
  const std::string out = dir_.file("out");
  expect_error(rotor({"logits", bare_, "--tokens", "1027", "--out", out}), {"--tokens", "0 to 1026"});
  expect_error(rotor({"logits", bare_, "--tokens", "1", "--out", dir_.file("no/such")}), {"no/such"});
  EXPECT_FALSE(std::filesystem::exists(out));
  test::write_random_model(dir_.file("small.rotor"), test::small_transformer());
  expect_error(rotor({"logits", dir_.file("small.rotor"), "--tokens", joined(std::vector<int64_t>(65, 1)),
                      "--out", out}),
               {"--tokens", "at most 64", "found 65"});
  EXPECT_EQ(rotor({"logits", bare_, "--tokens", "1"}).status, 2);
  EXPECT_EQ(rotor({"logits", bare_, "--out", out}).status, 2);
}

TEST_F(LanguageModelCommand, PerplexityIsThatOfTheLogits) {
  // Two chunks of 16 and a rest: begin-of-text and 40 letters that no merge joins.
  std::string text;
  for (int i = 0; i < 40; ++i) text += static_cast<char>('d' + i * i % 11);
  test::write_bytes(dir_.file("text"), text);
  const CommandResult result = rotor(
      {"perplexity", text_, "--file", dir_.file("text"), "-c", "16", "--json", "--kv", "f32", "-b", "5"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "stdout");

  double sum = 0;
  double square_sum = 0;
  for (size_t chunk = 0; chunk < 2; ++chunk) {
    std::vector<int64_t> ids = {kBos};
    for (size_t i = 1; i < 16; ++i) ids.push_back(text[chunk * 16 + i - 1]);
    const std::string out = dir_.file("logits");
    ASSERT_EQ(rotor({"logits", text_, "--tokens", joined(ids), "--out", out}).status, 0);
    const auto logits = SafetensorsFile(out).read<float>("logits");
    for (size_t i = 8; i < 15; ++i) {
      double total = 0;
      for (size_t id = 0; id < kVocab; ++id) total += std::exp(static_cast<double>(logits[i * kVocab + id]));
      const double nll =
          std::log(total) - static_cast<double>(logits[i * kVocab + static_cast<size_t>(ids[i + 1])]);
      sum += nll;
      square_sum += nll * nll;
    }
  }
  // The same floats are summed in another order.
  EXPECT_EQ(json["tokens"], 14);
  EXPECT_EQ(json["chunks"], 2);
  EXPECT_EQ(json["context"], 16);
  EXPECT_NEAR(json["nll"], sum / 14, 1e-9);
  EXPECT_NEAR(json["perplexity"].get<double>() / std::exp(sum / 14), 1.0, 1e-9);
  const double std_error = std::sqrt((square_sum / 14 - sum / 14 * sum / 14) / 13) * std::exp(sum / 14);
  EXPECT_NEAR(json["std_error"].get<double>() / std_error, 1.0, 1e-7);

  const CommandResult plain =
      rotor({"perplexity", text_, "--file", dir_.file("text"), "-c", "16", "--chunks", "1"});
  EXPECT_EQ(plain.status, 0) << plain.err;
  EXPECT_EQ(plain.out.substr(0, 11), "perplexity ");
  EXPECT_NE(plain.out.find("(7 tokens scored)"), std::string::npos) << plain.out;
}

TEST_F(LanguageModelCommand, PerplexitySaysWhatIsWrong) {
  test::write_bytes(dir_.file("text"), "defg");
  const auto perplexity = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"perplexity", text_, "--file", dir_.file("text")});
    return rotor(arguments);
  };
  expect_error(perplexity({}), {"at least one chunk of 512 tokens", "found 5"});
  expect_error(perplexity({"-c", "6"}), {"at least one chunk of 6 tokens", "found 5"});
  expect_error(perplexity({"-c", "2"}), {"context", "found 2"});
  expect_error(perplexity({"-c", "99999999"}), {"context", "99999999"});
  expect_error(perplexity({"-c", "4", "--chunks", "0"}), {"chunks", "found 0"});
  expect_error(rotor({"perplexity", bare_, "--file", dir_.file("text")}), {"bare.rotor", "no tokenizer"});
  expect_error(rotor({"perplexity", text_, "--file", dir_.file("none")}), {"none", "cannot read"});
  EXPECT_EQ(rotor({"perplexity", text_}).status, 2);
}

TEST_F(LanguageModelCommand, HelpHasExamples) {
  for (const char* command : {"run", "logits", "perplexity"}) {
    const CommandResult help = rotor({command, "--help"});
    EXPECT_EQ(help.status, 0);
    EXPECT_NE(help.out.find(cat("examples:\n  rotor ", command)), std::string::npos) << help.out;
  }
}

TEST_F(LanguageModelCommand, BenchPrintsFiguresForPeopleAndScripts) {
  const CommandResult table = run_command({test::program("rotor"), "bench", files_->file("bare.rotor"), "-p",
                                           "8", "-n", "4", "-r", "2", "-t", "1", "--no-bandwidth"});
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_NE(table.out.find("prompt of 8"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("decode of 4"), std::string::npos);
  const CommandResult result = run_command({test::program("rotor"), "bench", files_->file("bare.rotor"), "-p",
                                            "8", "-n", "4", "-r", "2", "-t", "1", "--json", "--no-mmap"});
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "bench");
  for (const char* key : {"prompt_tokens_per_second", "decode_tokens_per_second", "bytes_per_token",
                          "read_bandwidth_bytes_per_second", "bandwidth_share"}) {
    EXPECT_GT(json.at(key).get<double>(), 0.0) << key;
  }
  EXPECT_EQ(json.at("threads"), 1);
  EXPECT_NE(result.err.find("kernels " + json.at("kernels").get<std::string>()), std::string::npos);
  expect_error(run_command({test::program("rotor"), "bench", "--shape", "none"}), {"bitnet-2b-4t", "none"});
  expect_error(run_command({test::program("rotor"), "bench", files_->file("bare.rotor"), "-r", "0"}),
               {"--repetitions", "1 to", "0"});
  EXPECT_EQ(run_command({test::program("rotor"), "bench"}).status, 2);
}

TEST_F(LanguageModelCommand, InfoDescribesAHeadInBytes) {
  exporting::export_rotor(Checkpoint(files_->file("checkpoint")), files_->file("q8.rotor"), {},
                          [](const auto&) {});
  const CommandResult info =
      run_command({test::program("rotor"), "info", files_->file("q8.rotor"), "--json"});
  ASSERT_EQ(info.status, 0) << info.err;
  const Json json = parse_json(info.out, "info");
  EXPECT_GT(json.at("memory_bytes"), json.at("file_bytes"));
  EXPECT_NE(run_command({test::program("rotor"), "info", files_->file("q8.rotor")}).out.find("memory: "),
            std::string::npos);
}

TEST_F(LanguageModelCommand, DoctorChecksKernelsAndModels) {
  const auto doctor = [](std::vector<std::string> arguments) {  // devices are devices_test.cpp's
    arguments.insert(arguments.begin(), {test::program("rotor"), "doctor", "--backend", "cpu"});
    return run_command(arguments);
  };
  const CommandResult found = doctor({"--json"});
  ASSERT_EQ(found.status, 0) << found.err;
  const Json json = parse_json(found.out, "doctor");
  EXPECT_EQ(json.at("sound"), true);
  EXPECT_GE(json.at("findings").size(), 2U);
  const CommandResult table = doctor({files_->file("bare.rotor")});
  ASSERT_EQ(table.status, 0) << table.err;
  EXPECT_NE(table.out.find("kernels scalar"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("model on cpu, kernels scalar"), std::string::npos) << table.out;
  const CommandResult own = doctor({});
  EXPECT_NE(own.out.find("golden model on cpu, kernels scalar"), std::string::npos) << own.out;
  EXPECT_NE(own.out.find("odd model on cpu, kernels scalar"), std::string::npos) << own.out;
  expect_error(doctor({files_->file("none.rotor")}), {"none.rotor"});
}

TEST_F(LanguageModelCommand, AScreenedHeadSaysTheSame) {
  const std::string screened = files_->file("screened.rotor");
  const auto said = [&](const std::string& mode) {
    const CommandResult result =
        rotor({"run", screened, "--tokens", "1 2 3", "-n", "20", "--temp", "0", "--head-screening", mode});
    EXPECT_EQ(result.status, 0) << result.err;
    return result.out;
  };
  EXPECT_NE(said("off"), "");
  EXPECT_EQ(said("on"), said("off"));
  EXPECT_EQ(said("auto"), said("off"));
  expect_error(rotor({"run", bare_, "--tokens", "1", "-n", "1", "--head-screening", "on"}),
               {"holds no copy of its head", "rotor-export --head q8 --head-screening on"});
  const CommandResult bad = rotor({"run", screened, "--tokens", "1", "--head-screening", "maybe"});
  EXPECT_EQ(bad.status, 2);
  EXPECT_NE(bad.err.find("--head-screening: expected on | off | auto, found \"maybe\""), std::string::npos)
      << bad.err;
}

TEST_F(LanguageModelCommand, ScreeningIsCheckedOnAText) {
  test::write_bytes(dir_.file("text.txt"), std::string(400, 'a') + std::string(400, 'b'));
  const std::vector<std::string> arguments = {"perplexity",
                                              files_->file("screened.rotor"),
                                              "--file",
                                              dir_.file("text.txt"),
                                              "-c",
                                              "64",
                                              "--check-screening",
                                              "--top-k",
                                              "3",
                                              "--json"};
  const CommandResult result = rotor(arguments);
  ASSERT_EQ(result.status, 0) << result.err;
  const Json json = parse_json(result.out, "perplexity");
  ASSERT_EQ(json.at("screening").size(), 2U);
  for (const Json& check : json["screening"]) {
    EXPECT_EQ(check.at("misses"), 0);
    EXPECT_EQ(check.at("tokens"), json.at("tokens"));
    EXPECT_LE(check.at("head_share_read").get<double>(), 1.0);
  }
  expect_error(rotor({"perplexity", text_, "--file", dir_.file("text.txt"), "-c", "64", "--check-screening"}),
               {"holds no copy of its head"});
}

TEST_F(LanguageModelCommand, InfoKnowsTheCopyOfAHead) {
  const CommandResult result = rotor({"info", files_->file("screened.rotor"), "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  bool seen = false;
  const Json json = parse_json(result.out, "info");
  for (const Json& tensor : json.at("tensors")) {
    if (tensor.at("name") != "model.embed_tokens.weight_screen") continue;
    seen = true;
    EXPECT_EQ(tensor.at("dtype"), "ternary");
    EXPECT_EQ(tensor.at("shape"), Json({kVocab, 256}));
    EXPECT_FALSE(tensor.contains("scale")) << "each row has its own";
  }
  EXPECT_TRUE(seen);
  EXPECT_EQ(rotor({"info", files_->file("screened.rotor")}).status, 0);
}

TEST_F(LanguageModelCommand, ThreadsCanBePinned) {
  const std::vector<std::string> run = {"run", bare_, "--tokens", "1 2 3", "-n", "4", "--temp", "0"};
  std::vector<std::string> pinned = run;
  pinned.insert(pinned.end(), {"--pin", "-t", "1"});
  EXPECT_EQ(rotor(pinned).out, rotor(run).out);
  pinned.back() = "1000";
  expect_error(rotor(pinned), {"pinning", "1000", "leave --pin out"});
}

}  // namespace
}  // namespace rotor
