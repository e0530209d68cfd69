// Fine-tuning from a checkpoint to a packed model: what was learnt must be there to the token, from packed
// checkpoints too.
#include <gtest/gtest.h>

#include <filesystem>

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

}  // namespace
}  // namespace rotor::train
