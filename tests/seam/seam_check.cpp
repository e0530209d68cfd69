// seam-check: a trained checkpoint against the .rotor file made of it, over real data.
#include <cstdio>
#include <filesystem>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/tool/options.h"
#include "tests/seam/language_seam.h"
#include "tests/seam/seam.h"
#include "train/models/parameters.h"

namespace {

constexpr const char* kExamples =
    "  seam-check runs/fashion-mlp/checkpoint fashion.rotor --data /usr/share/datasets/fashion-mnist\n"
    "  seam-check runs/quickstart/checkpoint quickstart.rotor --text held-out.txt --tokens 5000\n";

int check_classifier(const rotor::Checkpoint& checkpoint, const std::string& model,
                     const std::string& directory, size_t max) {
  rotor::train::TernaryMlp module(checkpoint.config());
  rotor::train::load_parameters(*module, checkpoint);
  const rotor::RotorFile file(model);
  const rotor::runtime::Classifier packed(file);
  const rotor::IdxDataset data = rotor::load_idx(directory, rotor::IdxSplit::test);
  rotor::check_idx(data, directory, file.config().mlp.layer_sizes.front(), file.config().mlp.num_classes());
  const auto backend = rotor::runtime::make_backend();
  const auto report = rotor::test::compare_seam(module, packed, *backend, data);
  std::fputs(rotor::test::describe(report).c_str(), stdout);
  return rotor::test::acceptable(report, max) ? 0 : 1;
}

struct RemoveAtEnd {
  std::string path;
  ~RemoveAtEnd() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
};

/// The last tokens of a text: its end is what training held out.
int check_language_model(const rotor::Checkpoint& checkpoint, const std::string& model,
                         const std::string& path, size_t count, int64_t block_size) {
  const rotor::MappedFile file(path);
  const auto tokenizer = rotor::text::load_tokenizer(model);
  // A few bytes a token are enough to cut off a tail that holds as many tokens as are asked for.
  const size_t tail = std::min(file.bytes().size(), 16 * count);
  std::string text(file.bytes().end() - static_cast<ptrdiff_t>(tail), file.bytes().end());
  while (!text.empty() && (static_cast<unsigned char>(text[0]) & 0xC0U) == 0x80U) text.erase(0, 1);
  std::vector<rotor::text::TokenId> ids = tokenizer->encode(text, rotor::text::SpecialTokens::as_text);
  if (ids.size() > count + 1) ids.erase(ids.begin(), ids.end() - static_cast<ptrdiff_t>(count + 1));
  if (ids.size() < 2) rotor::fail(path, ": expected at least two tokens");
  // The head in float32, as the module has it: what a smaller one costs is no matter of this seam.
  const std::string exact = model + ".seam-check";
  const RemoveAtEnd remove{exact};
  rotor::exporting::export_rotor(checkpoint, exact, {.head = rotor::DenseType::f32}, [](const auto&) {});
  const auto backend = rotor::runtime::make_backend();
  const auto report = rotor::test::compare_language_seam(checkpoint, exact, *backend, ids, block_size);
  std::fputs(rotor::test::describe(report).c_str(), stdout);
  return rotor::test::acceptable(report) ? 0 : 1;
}

int run(int argc, char** argv) {
  cxxopts::Options options(
      "seam-check",
      "Runs the LibTorch model and the packed one on the same data and prints where they differ.\n"
      "Classifiers: every class that differs with the rounding tie behind it; exits 1 if there are\n"
      "more than --max or if one is no tie. Language models: perplexity, best tokens and logits on\n"
      "the last tokens of a text; exits 1 if they differ by more than int8 rounding explains.");
  options.add_options()("checkpoint", "checkpoint directory", cxxopts::value<std::string>())(
      "model", ".rotor file", cxxopts::value<std::string>())("data", "classifiers: folder of the IDX files",
                                                             cxxopts::value<std::string>())(
      "max", "classifiers: how many classes may differ", cxxopts::value<size_t>()->default_value("2"))(
      "text", "language models: text file", cxxopts::value<std::string>())(
      "tokens", "language models: tokens to compare", cxxopts::value<size_t>()->default_value("5000"));
  const auto parsed = rotor::tool::parse_options(options, argc, argv, {"checkpoint", "model"}, kExamples);
  if (!parsed) return 0;
  const rotor::Checkpoint checkpoint((*parsed)["checkpoint"].as<std::string>());
  const auto model = (*parsed)["model"].as<std::string>();
  const char* source = checkpoint.config().is_transformer() ? "text" : "data";
  if (parsed->count(source) == 0) {
    throw rotor::tool::UsageError(
        rotor::cat("expected --", source, " for this model; see seam-check --help"));
  }
  const auto path = (*parsed)[source].as<std::string>();
  if (!checkpoint.config().is_transformer()) {
    return check_classifier(checkpoint, model, path, (*parsed)["max"].as<size_t>());
  }
  return check_language_model(checkpoint, model, path, (*parsed)["tokens"].as<size_t>(),
                              checkpoint.config().transformer.max_position_embeddings);
}

}  // namespace

int main(int argc, char** argv) {
  return rotor::tool::run_guarded("seam-check", [&] { return run(argc, argv); });
}
