// rotor-train fit: a config becomes a run.
#include <cstdio>
#include <exception>
#include <string>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/data/token_cache.h"
#include "train/distributed/launch.h"
#include "train/distributed/rank_group.h"
#include "train/trainer/trainer.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kFitExamples =
    "  rotor-train fit configs/fashion-mlp.yaml\n"
    "  rotor-train fit configs/mnist-mlp.yaml --set data.path=/data/mnist --set train.epochs=5\n"
    "  rotor-train fit configs/mnist-mlp.yaml --resume          go on after Ctrl-C\n"
    "  torchrun --no-python --nproc-per-node 4 rotor-train fit configs/distributed-lm.yaml\n"
    "                                                           on four ranks; mpirun and srun do as well\n";

/// Prints for people; of several ranks only the first does.
template <class... Args>
void say(const RankGroup* group, const Args&... args) {
  if (group == nullptr || group->is_root()) std::fprintf(stderr, "%s\n", cat(args...).c_str());
}

/// Trains to the end or an interrupt. Returns the exit status.
int run(const TrainConfig& config, StartMode start, RankGroup* group, const Launch& launch) {
  Trainer trainer(config, start, group, launch);
  if (group == nullptr || group->is_root()) print_blas_note();
  if (!trainer.run()) {
    say(group, "interrupted: checkpoint written to ", config.output_dir, "/checkpoint; go on with --resume");
    return tool::kInterruptedStatus;
  }
  const std::string checkpoint = cat("checkpoint ", config.output_dir, "/checkpoint");
  if (!trainer.task().can_evaluate()) {
    say(group, "done: ", checkpoint);
    return 0;
  }
  say(group, "done: ", trainer.task().describe(trainer.last_evaluation()),
      " (best: ", trainer.task().describe(trainer.best_evaluation()), "), ", checkpoint);
  return 0;
}

/// The same as one of several ranks: an error ends all of them.
int run_as_rank(const TrainConfig& config, StartMode start, const Launch& launch) {
  if (launch.rank != 0) tool::hide_progress();
  RankGroup group(launch, config.distributed.timeout, make_device(config.device, launch.local_rank));
  try {
    const int status = run(config, start, &group, launch);
    group.leave();
    return status;
  } catch (const TokenizingInterrupted& interrupted) {
    group.abandon(interrupted.what(), tool::kInterruptedStatus);
  } catch (const c10::Error& e) {
    group.abandon(cat("LibTorch: ", e.what_without_backtrace()));
  } catch (const std::exception& e) {
    group.abandon(e.what());
  }
}

}  // namespace

int fit(int argc, char** argv) {
  cxxopts::Options options("rotor-train fit",
                           "Trains a model. Ctrl-C writes a checkpoint and stops; --resume goes on from it.");
  options.add_options()("config", "YAML file", cxxopts::value<std::string>())(
      "resume", "go on from the last checkpoint in output_dir, if there is one")(
      "overwrite", "remove an earlier run in output_dir first");
  add_config_options(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kFitExamples);
  if (!parsed) return 0;
  const bool resume = parsed->count("resume") != 0;
  const bool overwrite = parsed->count("overwrite") != 0;
  if (resume && overwrite) throw tool::UsageError("--resume and --overwrite exclude each other");
  const TrainConfig config =
      load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  use_fast_blas();
  tool::catch_interrupts();
  const StartMode start = resume ? StartMode::resume : overwrite ? StartMode::overwrite : StartMode::fresh;
  const Launch launch = read_launch();
  if (launch.size > 1) return run_as_rank(config, start, launch);
  try {
    return run(config, start, nullptr, launch);
  } catch (const TokenizingInterrupted& interrupted) {
    std::fprintf(stderr, "%s\n", interrupted.what());
    return tool::kInterruptedStatus;
  }
}

}  // namespace rotor::train::cli
