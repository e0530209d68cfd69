// rotor-train tokenizer: the tokenizer of a config, by itself.
#include <cstdio>
#include <filesystem>

#include "rotor/text/tokenizer.h"
#include "rotor/tool/options.h"
#include "train/cli/commands.h"
#include "train/config/train_config.h"
#include "train/data/run_tokenizer.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kTokenizerExamples =
    "  rotor-train tokenizer configs/quickstart.yaml                        writes "
    "OUTPUT_DIR/tokenizer.model\n"
    "  rotor-train tokenizer configs/quickstart.yaml --out prose.model --set tokenizer.vocab_size=8000\n"
    "  rotor-train fit configs/quickstart.yaml --set tokenizer.path=prose.model   trains with it\n";

}  // namespace

int tokenizer(int argc, char** argv) {
  cxxopts::Options options(
      "rotor-train tokenizer",
      "Trains the SentencePiece model that a config describes on its text. (rotor-train fit does\n"
      "so by itself; this is to look at one, or to share one between runs.)");
  options.add_options()("config", "YAML file", cxxopts::value<std::string>())(
      "out", "file to write (default: tokenizer.model in output_dir)", cxxopts::value<std::string>());
  add_config_options(options);
  const auto parsed = tool::parse_options(options, argc, argv, {"config"}, kTokenizerExamples);
  if (!parsed) return 0;
  const TrainConfig config =
      load_train_config((*parsed)["config"].as<std::string>(), override_arguments(*parsed));
  std::string path = config.output_dir + "/tokenizer.model";
  if (parsed->count("out") != 0) {
    path = (*parsed)["out"].as<std::string>();
  } else {
    std::filesystem::create_directories(config.output_dir);
  }
  train_tokenizer(config, path);
  const auto made = text::load_tokenizer(path);
  std::fprintf(stderr, "%s: %lld tokens; look at it: rotor tokenize %s \"Some text\"\n", path.c_str(),
               static_cast<long long>(made->vocab_size()), path.c_str());
  return 0;
}

}  // namespace rotor::train::cli
