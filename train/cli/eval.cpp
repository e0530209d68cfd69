// rotor-train eval: a checkpoint against the test split of a config's data.
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/json.h"
#include "rotor/text/tokenizer.h"
#include "rotor/tool/options.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/trainer/task.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kExamples =
    "  rotor-train eval configs/fashion-mlp.yaml --checkpoint runs/fashion-mlp/best\n"
    "  rotor-train eval configs/mnist-mlp.yaml --checkpoint runs/mnist-mlp/checkpoint --json\n";

}  // namespace

int eval(int argc, char** argv) {
  cxxopts::Options options(
      "rotor-train eval",
      "Loss, accuracy and perplexity of a checkpoint over the whole test or validation split.");
  options.add_options()("config", "YAML file: data and device", cxxopts::value<std::string>())(
      "checkpoint", "checkpoint directory", cxxopts::value<std::string>())(
      "set", "override a key: KEY.PATH=VALUE (repeatable)", cxxopts::value<std::vector<std::string>>())(
      "json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kExamples);
  if (!parsed) return 0;
  if (parsed->count("checkpoint") == 0)
    throw tool::UsageError("expected --checkpoint DIR; see rotor-train eval --help");
  TrainConfig config = load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  use_fast_blas();
  set_threads(config.threads);
  const auto directory = (*parsed)["checkpoint"].as<std::string>();
  const ModelConfig model = Checkpoint(directory).config();
  if (model.is_transformer() != config.model.is_transformer()) {
    fail(directory, ": the checkpoint's model is a ", model.model_type, ", the config's a ",
         config.model.model_type);
  }
  config.model = model;
  config.eval_windows = 0;
  if (model.is_transformer()) {
    config.tokenizer.path = directory;
    config.tokenizer.type = text::load_tokenizer(directory)->kind();
  }
  const std::unique_ptr<Task> task = make_task(config, make_device(config.device));
  task->load(directory);
  const Evaluation result = task->evaluate();
  if (parsed->count("json") != 0) {
    Json json = {{"loss", result.loss}, {"accuracy", result.accuracy()}, {"correct", result.correct}};
    json[task->unit()] = result.total;
    if (model.is_transformer()) json["perplexity"] = result.perplexity();
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    std::printf("%s (%lld of %lld %s)\n", task->describe(result).c_str(),
                static_cast<long long>(result.correct), static_cast<long long>(result.total),
                task->unit().c_str());
  }
  return 0;
}

}  // namespace rotor::train::cli
