// seam-check: a trained checkpoint against the .rotor file made of it, over the test images of a data set.
#include <cstdio>

#include "rotor/tool/options.h"
#include "tests/seam/seam.h"
#include "train/models/parameters.h"

namespace {

constexpr const char* kExamples =
    "  seam-check runs/fashion-mlp/checkpoint fashion.rotor --data /usr/share/datasets/fashion-mnist\n";

int run(int argc, char** argv) {
  cxxopts::Options options(
      "seam-check",
      "Classifies the test images with the LibTorch model and with the packed one. Prints every class\n"
      "that differs with the rounding tie behind it; exits 1 if there are more than --max or if one\n"
      "is no tie.");
  options.add_options()("checkpoint", "checkpoint directory", cxxopts::value<std::string>())(
      "model", ".rotor file", cxxopts::value<std::string>())("data", "folder of the IDX files",
                                                             cxxopts::value<std::string>())(
      "max", "how many classes may differ", cxxopts::value<size_t>()->default_value("2"));
  const auto parsed = rotor::tool::parse_options(options, argc, argv, {"checkpoint", "model"}, kExamples);
  if (!parsed) return 0;
  if (parsed->count("data") == 0) throw rotor::tool::UsageError("expected --data DIR; see seam-check --help");
  const rotor::Checkpoint checkpoint((*parsed)["checkpoint"].as<std::string>());
  rotor::train::TernaryMlp module(checkpoint.config());
  rotor::train::load_parameters(*module, checkpoint);
  const rotor::RotorFile file((*parsed)["model"].as<std::string>());
  const rotor::runtime::Classifier packed(file);
  const auto directory = (*parsed)["data"].as<std::string>();
  const rotor::IdxDataset data = rotor::load_idx(directory, rotor::IdxSplit::test);
  rotor::check_idx(data, directory, file.config().mlp.layer_sizes.front(), file.config().mlp.num_classes());
  const auto backend = rotor::runtime::make_backend();
  const auto report = rotor::test::compare_seam(module, packed, *backend, data);
  std::fputs(rotor::test::describe(report).c_str(), stdout);
  return rotor::test::acceptable(report, (*parsed)["max"].as<size_t>()) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return rotor::tool::run_guarded("seam-check", [&] { return run(argc, argv); });
}
