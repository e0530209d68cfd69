// rotor-train fit: a config becomes a run.
#include <cstdio>
#include <optional>

#include "rotor/tool/interrupt.h"
#include "rotor/tool/options.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/data/token_cache.h"
#include "train/trainer/trainer.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kExamples =
    "  rotor-train fit configs/fashion-mlp.yaml\n"
    "  rotor-train fit configs/mnist-mlp.yaml --set data.path=/data/mnist --set train.epochs=5\n"
    "  rotor-train fit configs/mnist-mlp.yaml --resume          go on after Ctrl-C\n";

}  // namespace

int fit(int argc, char** argv) {
  cxxopts::Options options("rotor-train fit",
                           "Trains a model. Ctrl-C writes a checkpoint and stops; --resume goes on from it.");
  options.add_options()("config", "YAML file", cxxopts::value<std::string>())(
      "set", "override a key: KEY.PATH=VALUE (repeatable)", cxxopts::value<std::vector<std::string>>())(
      "resume", "go on from the last checkpoint in output_dir, if there is one")(
      "overwrite", "remove an earlier run in output_dir first");
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kExamples);
  if (!parsed) return 0;
  const bool resume = parsed->count("resume") != 0;
  const bool overwrite = parsed->count("overwrite") != 0;
  if (resume && overwrite) throw tool::UsageError("--resume and --overwrite exclude each other");
  const TrainConfig config =
      load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  use_fast_blas();
  tool::catch_interrupts();
  const StartMode start = resume ? StartMode::resume : overwrite ? StartMode::overwrite : StartMode::fresh;
  std::optional<Trainer> started;
  try {
    started.emplace(config, start);
  } catch (const TokenizingInterrupted& interrupted) {
    std::fprintf(stderr, "%s\n", interrupted.what());
    return tool::kInterruptedStatus;
  }
  Trainer& trainer = *started;
  print_blas_note();
  if (!trainer.run()) {
    std::fprintf(stderr, "interrupted: checkpoint written to %s/checkpoint; go on with --resume\n",
                 config.output_dir.c_str());
    return tool::kInterruptedStatus;
  }
  if (!trainer.task().can_evaluate()) {
    std::fprintf(stderr, "done: checkpoint %s/checkpoint\n", config.output_dir.c_str());
    return 0;
  }
  std::fprintf(stderr, "done: %s (best: %s), checkpoint %s/checkpoint\n",
               trainer.task().describe(trainer.last_evaluation()).c_str(),
               trainer.task().describe(trainer.best_evaluation()).c_str(), config.output_dir.c_str());
  return 0;
}

}  // namespace rotor::train::cli
