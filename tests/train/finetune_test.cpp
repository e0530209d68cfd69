// Fine-tuning from a checkpoint to a packed model: what was learnt must be there to the token, from packed
// checkpoints too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "export/convert.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "rotor/text/model_text.h"
#include "rotor/text/tokenizer_files.h"
#include "runtime/engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"
#include "train/models/parameters.h"
#include "train/trainer/trainer.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;
using test::expect_error;
using test::TempDir;
using text::TokenId;

struct Example {
  std::string question;
  std::string answer;
};

/// Answers that only memory can give.
std::vector<Example> examples(size_t count) {
  std::vector<Example> all;
  for (size_t i = 0; i < count; ++i) {
    const auto letter = [&](size_t n) { return static_cast<char>('a' + (i * 7 + n * n * 11 + n * i) % 26); };
    std::string answer;
    for (size_t n = 0; n < 4 + i % 5; ++n) answer += letter(n);
    all.push_back({"q" + std::to_string(i), answer});
  }
  return all;
}

class FinetuneTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// A checkpoint with a tokenizer of bytes, "<|end|>" at its end.
  std::string make_base(const std::string& kind) const {
    const std::string base = dir_.file(kind);
    const text::ByteLevelBpe tokenizer(test::small_bpe());
    const TokenId end = tokenizer.encode("<|end|>", text::SpecialTokens::parse)[0];
    if (kind == "ours") {
      ModelConfig config = test::small_transformer();
      TransformerConfig& t = config.transformer;
      t.vocab_size = tokenizer.vocab_size();
      t.hidden_size = 96;
      t.intermediate_size = 192;
      t.head_dim = 24;
      t.max_position_embeddings = 64;
      t.initializer_range = 0.1;
      torch::manual_seed(3);
      fs::create_directories(base);
      save_parameters(*Transformer(config), config, base);
    } else {
      test::write_golden_transformer(base, kind);
    }
    // The golden checkpoint has special tokens of its own, which this tokenizer does not know.
    Json json = read_json_file(base + "/config.json");
    json["bos_token_id"] = nullptr;
    json["eos_token_id"] = end;
    write_file(base + "/config.json", dump_json(json));
    text::write_tokenizer_files(
        base, tokenizer, {.tokenizer = "", .chat_template = {}, .bos_token = {}, .stop_tokens = {end}});
    return base;
  }
  TrainConfig config(const std::string& base, const std::string& run,
                     const std::vector<std::string>& overrides = {}) const {
    const std::string text = "output_dir: " + dir_.file(run) + "\nthreads: 1\nmodel: {from: " + base +
                             "}\n"
                             "data: {type: chat, path: " +
                             data_ +
                             ", block_size: 64, validation_fraction: 0, chat_template: plain}\n"
                             "train: {epochs: 40, batch_size: 2, learning_rate: 3.0e-3, warmup_steps: 5, "
                             "betas: [0.9, 0.95]}\n"
                             "log: {every: 5, telemetry_every: 0}\n";
    test::write_bytes(dir_.file(run + ".yaml"), text);
    return load_train_config(dir_.file(run + ".yaml"), overrides);
  }
  void write_data(const std::vector<Example>& all) const {
    std::string lines;
    for (const Example& example : all) {
      lines += R"({"instruction": ")" + example.question + R"(", "output": ")" + example.answer + "\"}\n";
    }
    test::write_bytes(data_, lines);
  }
  std::string checkpoint(const std::string& run) const { return dir_.file(run + "/checkpoint"); }

  /// Exports a checkpoint and lets the packed model answer.
  std::string pack(const std::string& run) const {
    const std::string path = dir_.file(run + ".rotor");
    const text::OpenedSource source = text::open_source(checkpoint(run), {});
    exporting::export_rotor(*source.model, source.text, path, {}, [](const auto&) {});
    return path;
  }

  TempDir dir_;
  std::string data_ = dir_.file("chats.jsonl");
};

/// Greedy answers of a packed model to questions by its own chat template.
std::vector<std::string> answers(const std::string& path, const std::vector<Example>& all) {
  const RotorFile file(path);
  const text::ModelText model = text::model_text(file);
  const auto chat_template = text::chat_template(model, path);
  const auto backend = runtime::make_backend("cpu", {});
  const runtime::Transformer transformer(file);
  std::vector<std::string> found;
  for (const Example& example : all) {
    text::ChatOptions options;
    options.add_generation_prompt = true;
    const std::string prompt =
        chat_template->render({{{"role", "user"}, {"content", example.question}}}, options);
    runtime::Session session(transformer, *backend, {.context = 64, .kv = runtime::KvType::f32});
    std::vector<TokenId> ids = model.tokenizer->encode(prompt, text::SpecialTokens::parse);
    std::span<const float> logits = session.feed(ids);
    std::vector<TokenId> answer;
    while (answer.size() < 12) {
      const auto next = static_cast<TokenId>(std::ranges::max_element(logits) - logits.begin());
      if (next == model.metadata.stop_tokens.at(0)) break;
      answer.push_back(next);
      logits = session.feed(std::span(&answer.back(), 1));
    }
    found.push_back(model.tokenizer->decode(answer));
  }
  return found;
}

/// The lines of a run's metrics, without what the machine decides.
std::vector<Json> metrics(const std::string& path) {
  std::ifstream in(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(parse_json(line, path));
    for (const char* key : {"tokens_per_second", "pairs_per_second", "memory_bytes"}) lines.back().erase(key);
  }
  return lines;
}

TEST_P(FinetuneTest, AnswersAreReproducedByThePackedModel) {
  const std::vector<Example> all = examples(32);
  write_data(all);
  const std::string epochs = GetParam() == "ours" ? "80" : "40";
  Trainer trainer(config(make_base(GetParam()), "run", {"train.epochs=" + epochs}), StartMode::fresh);
  ASSERT_TRUE(trainer.run());
  const std::vector<std::string> found = answers(pack("run"), all);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(found[i], " " + all[i].answer) << all[i].question;
}

INSTANTIATE_TEST_SUITE_P(Bases, FinetuneTest, ::testing::Values("packed", "ours"));

using Finetune = FinetuneTest;

double first_loss(const std::string& run_file) {
  std::ifstream in(run_file);
  std::string line;
  std::getline(in, line);
  return parse_json(line, "metrics").at("loss").get<double>();
}

TEST_F(Finetune, BeginsWithTheModelItWasGivenInAnyFormat) {
  write_data(examples(4));
  const std::string base = make_base("packed");
  const text::OpenedSource source = text::open_source(base, {});
  exporting::export_rotor(*source.model, source.text, dir_.file("b.rotor"),
                          {.head = DenseType::f32, .head_screening = {}}, [](const auto&) {});
  for (const std::string& from : {base, dir_.file("b.rotor")}) {
    TrainConfig start = config(from, "run", {"train.learning_rate=0", "train.epochs=1"});
    Trainer trainer(start, StartMode::overwrite);
    ASSERT_TRUE(trainer.run());
    const text::OpenedSource after = text::open_source(checkpoint("run"), {});
    for (const TensorSpec& spec : tensor_table(after.model->config())) {
      if (!is_ternary(after.model->config(), spec)) {
        EXPECT_EQ(after.model->tensor(spec), source.model->tensor(spec)) << spec.name;
        continue;
      }
      std::vector<int8_t> found(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
      std::vector<int8_t> expected(found.size());
      after.model->read_trits(spec, 0, spec.shape[0], found);
      source.model->read_trits(spec, 0, spec.shape[0], expected);
      EXPECT_EQ(found, expected) << spec.name;
      EXPECT_FLOAT_EQ(after.model->scale(spec), source.model->scale(spec)) << spec.name;
    }
    EXPECT_TRUE(after.text.metadata.chat_template.has_value());
  }
}

TEST_F(Finetune, AResumedRunEndsAsAnUnbrokenOneWithoutItsBase) {
  write_data(examples(12));
  for (const std::vector<std::string>& mode :
       {std::vector<std::string>{},
        {"lora.rank=4", "lora.dropout=0.2", "train.activation_checkpointing=true"}}) {
    const std::string base = make_base("ours");
    std::vector<std::string> all = mode;
    all.insert(all.end(),
               {"train.epochs=2", "eval.every=3", "data.validation_fraction=0.2", "train.accumulation=2"});
    ASSERT_TRUE(Trainer(config(base, "whole", all), StartMode::overwrite).run());
    Trainer(config(base, "broken", all), StartMode::overwrite).run();
    // Back to the first checkpoint.
    const std::string link = checkpoint("broken");
    fs::remove(link);
    fs::create_directory_symlink("checkpoints/step-3", link);
    if (mode.empty()) fs::remove_all(base);
    ASSERT_TRUE(Trainer(config(base, "broken", all), StartMode::resume).run());
    const char* file = mode.empty() ? "/model.safetensors" : "/adapter_model.safetensors";
    EXPECT_EQ(test::read_bytes(checkpoint("broken") + file), test::read_bytes(checkpoint("whole") + file));
  }
}

TEST_F(Finetune, EveryWayOfLearningIsTheSameTwiceAndTellsOfItsWeights) {
  const std::string base = make_base("ours");
  const auto expect_same_twice = [&](const std::string& figure, const std::vector<std::string>& mode) {
    std::vector<std::string> flags = {"train.epochs=2", "log.every=1", "log.telemetry_every=2"};
    flags.insert(flags.end(), mode.begin(), mode.end());
    std::vector<std::vector<Json>> runs;
    for (const char* run : {"one", "two"}) {
      ASSERT_TRUE(Trainer(config(base, run, flags), StartMode::overwrite).run());
      runs.push_back(metrics(dir_.file(run) + "/metrics.jsonl"));
    }
    ASSERT_EQ(runs[0], runs[1]) << mode[0];
    EXPECT_TRUE(std::ranges::any_of(runs[0], [&](const Json& line) {
      if (!line.contains("telemetry")) return false;
      const Json& all = line["telemetry"]["all"];
      return all.contains(figure) && all[figure].get<double>() > 0;
    })) << mode[0];
  };
  write_data(examples(12));
  expect_same_twice("adapter_size", {"lora.rank=4", "lora.dropout=0.2"});
  expect_same_twice("changed", {"distill.teacher=" + base, "distill.relation_weight=1",
                                "distill.relation_heads=4", "train.quantizer_warmup_steps=3"});
  std::string pairs;
  for (const Example& example : examples(12)) {
    pairs += R"({"prompt": ")" + example.question + R"(", "chosen": "yes", "rejected": ")" + example.answer +
             "\"}\n";
  }
  test::write_bytes(data_, pairs);
  expect_same_twice("changed", {"data.type=preference"});
}

TEST_F(Finetune, AdaptersBeginAsNothingAndLearnWithoutTouchingTheBase) {
  write_data(examples(8));
  const std::string base = make_base("packed");
  const std::vector<std::string> short_run = {"train.epochs=10", "log.every=1", "train.batch_size=4"};
  ASSERT_TRUE(Trainer(config(base, "full", short_run), StartMode::fresh).run());
  std::vector<std::string> with_lora = short_run;
  with_lora.emplace_back("lora.rank=8");
  ASSERT_TRUE(Trainer(config(base, "lora", with_lora), StartMode::fresh).run());
  // The packed base computes what the latents do, whose scales may differ in the last bit.
  EXPECT_NEAR(first_loss(dir_.file("lora/metrics.jsonl")), first_loss(dir_.file("full/metrics.jsonl")), 1e-4);
  EXPECT_FALSE(fs::exists(checkpoint("lora") + "/model.safetensors"));
  std::ifstream in(dir_.file("lora/metrics.jsonl"));
  double last = 0.0;
  for (std::string line; std::getline(in, line);) last = parse_json(line, "metrics").value("loss", last);
  EXPECT_LT(last, 0.8 * first_loss(dir_.file("lora/metrics.jsonl")));
  // Another base is refused when the run goes on.
  const std::string other = make_base("ours");
  expect_error([&] { Trainer(config(other, "lora", with_lora), StartMode::resume).run(); },
               {"rotor_base_fingerprint"});
}

TEST_F(Finetune, AFloatModelBecomesTernaryByAndBy) {
  write_data(examples(4));
  const std::string base = make_base("ours");
  const std::vector<std::string> short_run = {"train.epochs=4", "train.batch_size=4", "log.every=1"};
  const auto loss = [&](const std::string& run, const std::string& flag) {
    std::vector<std::string> flags = short_run;
    flags.push_back(flag);
    EXPECT_TRUE(Trainer(config(base, run, flags), StartMode::fresh).run());
    return first_loss(dir_.file(run + "/metrics.jsonl"));
  };
  const double ternary = loss("ternary", "train.quantizer_warmup_steps=0");
  const double plain = loss("float", "model.quantization=none");
  // The first step is the float model's.
  EXPECT_NEAR(loss("warm", "train.quantizer_warmup_steps=2"), plain, 1e-4);
  EXPECT_GT(std::abs(ternary - plain), 1e-2);
}

TEST_F(Finetune, PreferencesAreLearnt) {
  std::string lines;
  for (const Example& example : examples(16)) {
    lines += R"({"prompt": ")" + example.question + R"(", "chosen": "yes )" + example.answer +
             R"(", "rejected": "no )" + example.answer + "\"}\n";
  }
  test::write_bytes(data_, lines);
  const std::string base = make_base("ours");
  const std::vector<std::string> flags = {"data.type=preference", "data.validation_fraction=0.25",
                                          "train.epochs=8",       "train.batch_size=4",
                                          "eval.every=1000",      "log.every=1"};
  Trainer trainer(config(base, "dpo", flags), StartMode::fresh);
  ASSERT_TRUE(trainer.run());
  // Before the first step both models agree: the loss is ln 2.
  EXPECT_NEAR(first_loss(dir_.file("dpo/metrics.jsonl")), std::log(2.0), 1e-6);
  EXPECT_EQ(trainer.last_evaluation().correct, 4);
  EXPECT_EQ(trainer.last_evaluation().total, 4);
  EXPECT_LT(trainer.last_evaluation().loss, 0.4);
  expect_error([&] { Trainer(config(base, "x"), StartMode::fresh); }, {"chats.jsonl:1", "expected messages"});
}

TEST_F(Finetune, ATeacherThatIsTheStudentTeachesNothing) {
  write_data(examples(4));
  const std::string base = make_base("ours");
  const auto gradient = [&](const std::string& run, const std::vector<std::string>& flags) {
    std::vector<std::string> all = {"train.epochs=1", "train.batch_size=4", "log.every=1",
                                    "distill.teacher=" + base};
    all.insert(all.end(), flags.begin(), flags.end());
    Trainer(config(base, run, all), StartMode::fresh).run();
    std::ifstream in(dir_.file(run + "/metrics.jsonl"));
    std::string line;
    std::getline(in, line);
    const Json json = parse_json(line, "metrics");
    return std::pair(json.at("loss").get<double>(), json.at("grad_norm").get<double>());
  };
  const auto [loss, norm] =
      gradient("same", {"distill.data_weight=0", "distill.relation_weight=1", "distill.relation_heads=4"});
  EXPECT_NEAR(loss, 0.0, 1e-5);
  EXPECT_NEAR(norm, 0.0, 1e-4);
  const auto [both_loss, both_norm] = gradient("data", {});
  EXPECT_GT(both_loss, 1.0);
  EXPECT_GT(both_norm, 0.1);
  const std::string other = make_base("packed");
  expect_error([&] { gradient("other", {"distill.teacher=" + other}); }, {"distill.teacher", "vocabulary"});
  expect_error(
      [&] {
        gradient("heads", {"distill.relation_weight=1", "distill.relation_heads=7"});
      },
      {"relation_heads", "96"});
}

TEST_F(Finetune, ConfigsThatCannotWorkAreRefused) {
  write_data(examples(4));
  const std::string base = make_base("ours");
  const auto refuse = [&](const std::vector<std::string>& flags, const std::vector<std::string>& parts) {
    expect_error([&] { Trainer(config(base, "refused", flags), StartMode::overwrite); }, parts);
  };
  refuse({"data.block_size=65"}, {"block_size", "context of 64", "65"});
  refuse({"model.from=" + dir_.file("nothing")}, {"nothing", "no such file"});
  refuse({"tokenizer.type=sentencepiece"}, {"tokenizer", "model.from"});
  refuse({"model.hidden_size=3"}, {"model.hidden_size", "unknown key"});
  refuse({"lora.rank=2", "model.quantization=none"}, {"model.quantization", "ternary"});
  refuse({"lora.alpha=2"}, {"lora.rank is missing"});
  refuse({"train.dpo_beta=1"}, {"dpo_beta", "preference"});
  refuse({"data.chat_template="}, {"chats.jsonl:1", "no chat template"});
  refuse({"data.window=random"}, {"data.window", "unknown key"});
  refuse({"distill.teacher=" + base, "distill.logits_weight=0"}, {"logits_weight"});
}

}  // namespace
}  // namespace rotor::train
