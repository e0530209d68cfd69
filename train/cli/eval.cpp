// rotor-train eval: a checkpoint against the test split of a config's data.
#include <cstdio>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "rotor/formats/lora_config.h"
#include "rotor/tool/options.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/trainer/task.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kEvalExamples =
    "  rotor-train eval configs/fashion-mlp.yaml --checkpoint runs/fashion-mlp/best\n"
    "  rotor-train eval configs/mnist-mlp.yaml --checkpoint runs/mnist-mlp/checkpoint --json\n";

/// What is evaluated is the checkpoint, whatever the config would train; of adapters, its base with them.
void take_model(TrainConfig& config, const std::string& directory) {
  if (std::filesystem::exists(directory + "/" + kAdapterConfigFile)) {
    if (!config.lora) fail(directory, ": an adapter: expected a config with model.from and lora");
    return;
  }
  const ModelConfig model = Checkpoint(directory).config();
  if (model.is_encoder() || model.is_transformer() != config.model.is_transformer()) {
    fail(directory, ": the checkpoint's model is a ", model.model_type, ", the config's a ",
         config.model.model_type);
  }
  config.model = model;
  config.lora.reset();
  if (model.is_transformer()) config.from = directory;
}

}  // namespace

int eval(int argc, char** argv) {
  cxxopts::Options options(
      "rotor-train eval",
      "Loss, accuracy and perplexity of a checkpoint over the whole test or validation split.");
  options.add_options()("config", "YAML file: data and device", cxxopts::value<std::string>())(
      "checkpoint", "checkpoint directory", cxxopts::value<std::string>())("json", "print JSON");
  add_config_options(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kEvalExamples);
  if (!parsed) return 0;
  if (parsed->count("checkpoint") == 0)
    throw tool::UsageError("expected --checkpoint DIR; see rotor-train eval --help");
  TrainConfig config = load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  use_fast_blas();
  set_threads(config.threads);
  const auto directory = (*parsed)["checkpoint"].as<std::string>();
  take_model(config, directory);
  config.eval_windows = 0;
  const std::unique_ptr<Task> task = make_task(
      config, make_device(config.device), {.checkpoint = directory, .trains = false, .owns_folder = false});
  if (!task->can_evaluate()) {
    fail((*parsed)["config"].as<std::string>(),
         ": data: nothing is kept for validation: expected data.validation_path, a file, or "
         "data.validation_fraction above 0");
  }
  task->load(directory);
  const Evaluation result = task->evaluate();
  if (parsed->count("json") != 0) {
    Json json = {{"loss", result.loss}, {"accuracy", result.accuracy()}, {"correct", result.correct}};
    json[task->unit()] = result.total;
    if (task->has_perplexity()) json["perplexity"] = result.perplexity();
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    std::printf("%s (%lld of %lld %s)\n", task->describe(result).c_str(),
                static_cast<long long>(result.correct), static_cast<long long>(result.total),
                task->unit().c_str());
  }
  return 0;
}

}  // namespace rotor::train::cli
