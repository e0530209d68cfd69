// rotor logits: what a language model computes for given tokens, as a file that other programs read.
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/safetensors.h"
#include "rotor/text/token_ids.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/model_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kLogitsExamples =
    "  rotor logits model.rotor --tokens \"1 15043 3186\" --out logits.safetensors\n"
    "  rotor logits model.rotor --tokens \"1 2 3\" --out all.safetensors --hidden --activations float\n";

std::span<const uint8_t> as_bytes(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

int logits(int argc, char** argv) {
  cxxopts::Options options(
      "rotor logits",
      "Writes float32 `logits` [tokens, vocab] as safetensors; with --hidden also `hidden.<i>`\n"
      "[tokens, hidden]: 0 the embedding's output, i the output of layer i, the last one behind the\n"
      "final norm.");
  add_model_options(options, "f32");
  options.add_options()("tokens", "token ids: \"1 2 3\"", cxxopts::value<std::string>())(
      "out", "file to write", cxxopts::value<std::string>())("hidden", "write hidden states too");
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kLogitsExamples);
  if (!parsed) return 0;
  for (const char* flag : {"tokens", "out"}) {
    if (parsed->count(flag) == 0)
      throw tool::UsageError(cat("expected --", flag, "; see rotor logits --help"));
  }
  ModelOptions model_options = read_model_options(*parsed);
  const auto out = (*parsed)["out"].as<std::string>();

  const LanguageModel model(model_options.path, model_options.model);
  const TransformerConfig& config = model.config();
  const auto ids =
      text::parse_token_ids("--tokens", (*parsed)["tokens"].as<std::string>(), config.vocab_size);
  const auto num_tokens = static_cast<int64_t>(ids.size());
  if (num_tokens > config.max_position_embeddings) {
    fail("--tokens: expected at most ", config.max_position_embeddings,
         " ids (max_position_embeddings of the model), found ", num_tokens);
  }
  model_options.session.context = num_tokens;
  Session session = model.make_session(model_options.session);
  say_backend(model);

  std::vector<TensorDeclaration> tensors = {{"logits", DType::f32, {num_tokens, config.vocab_size}}};
  std::vector<std::vector<float>> hidden;
  if (parsed->count("hidden") != 0) {
    hidden.resize(static_cast<size_t>(config.num_hidden_layers) + 2);
    for (size_t i = 0; i < hidden.size(); ++i) {
      tensors.push_back({cat("hidden.", i), DType::f32, {num_tokens, config.hidden_size}});
    }
    session.observe([&](int64_t layer, std::span<const float> states) {
      std::vector<float>& of_layer = hidden[static_cast<size_t>(layer)];
      of_layer.insert(of_layer.end(), states.begin(), states.end());
    });
  }
  SafetensorsWriter writer(out, {}, tensors);
  session.feed_all(ids, [&](int64_t, std::span<const float> row) { writer.write(as_bytes(row)); });
  for (const auto& of_layer : hidden) writer.write(as_bytes(of_layer));
  model.file().check_intact();
  writer.commit();
  std::fprintf(stderr, "%s: logits of %s\n", out.c_str(), tool::count_text(num_tokens, "token").c_str());
  return 0;
}

}  // namespace rotor::runtime::cli
