// rotor-train eval: a checkpoint against the test split of a config's data.
#include <cstdio>

#include "rotor/formats/json.h"
#include "rotor/tool/options.h"
#include "train/cli/blas.h"
#include "train/cli/commands.h"
#include "train/trainer/trainer.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kExamples =
    "  rotor-train eval configs/fashion-mlp.yaml --checkpoint runs/fashion-mlp/best\n"
    "  rotor-train eval configs/mnist-mlp.yaml --checkpoint runs/mnist-mlp/checkpoint --json\n";

}  // namespace

int eval(int argc, char** argv) {
  cxxopts::Options options("rotor-train eval",
                           "Loss and accuracy of a checkpoint over the whole test split.");
  options.add_options()("config", "YAML file: data and device", cxxopts::value<std::string>())(
      "checkpoint", "checkpoint directory", cxxopts::value<std::string>())(
      "set", "override a key: KEY.PATH=VALUE (repeatable)", cxxopts::value<std::vector<std::string>>())(
      "json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kExamples);
  if (!parsed) return 0;
  if (parsed->count("checkpoint") == 0)
    throw tool::UsageError("expected --checkpoint DIR; see rotor-train eval --help");
  const TrainConfig config =
      load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  use_fast_blas();
  set_threads(config.threads);
  const torch::Device device = make_device(config.device);
  const Checkpoint checkpoint((*parsed)["checkpoint"].as<std::string>());
  TernaryMlp model(checkpoint.config());
  load_parameters(*model, checkpoint);
  model->to(device);
  IdxDataset data = load_idx(config.data.path, IdxSplit::test);
  const MlpConfig& mlp = checkpoint.config().mlp;
  check_idx(data, config.data.path, mlp.layer_sizes.front(), mlp.num_classes());
  const Evaluation result = evaluate(model, ImageDataset(std::move(data)), device);
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json({{"loss", result.loss},
                                   {"accuracy", result.accuracy()},
                                   {"correct", result.correct},
                                   {"images", result.total}},
                                  2)
                            .c_str());
  } else {
    std::printf("loss %.4f, accuracy %.2f %% (%lld of %lld)\n", result.loss, 100 * result.accuracy(),
                static_cast<long long>(result.correct), static_cast<long long>(result.total));
  }
  return 0;
}

}  // namespace rotor::train::cli
