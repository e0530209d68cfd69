// rotor classify: runs a classifier over a data set's test images.
#include <algorithm>
#include <cstdio>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/engine/classifier.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kClassifyExamples =
    "  rotor classify fashion.rotor --data /usr/share/datasets/fashion-mnist\n"
    "  rotor classify mnist.rotor --data data/mnist --limit 1000 -t 1 --json\n"
    "  ROTOR_KERNELS=scalar rotor classify mnist.rotor --data data/mnist     force the reference kernels\n";

void keep_first(IdxDataset& data, size_t limit) {
  data.count = std::min(data.count, limit);
  data.pixels.resize(data.count * data.image_size());
  data.labels.resize(data.count);
}

std::string class_name(const MlpConfig& mlp, size_t index) {
  return mlp.class_names.empty() ? std::to_string(index) : tool::printable(mlp.class_names[index]);
}

void print_confusion(const MlpConfig& mlp, const ClassifyResult& result) {
  std::printf("confusion (rows: true class, columns: predicted class 0..%zu)\n", result.confusion.size() - 1);
  for (size_t label = 0; label < result.confusion.size(); ++label) {
    std::printf("  %-12s", class_name(mlp, label).c_str());
    for (const int64_t count : result.confusion[label]) std::printf(" %6lld", static_cast<long long>(count));
    std::printf("\n");
  }
}

}  // namespace

int classify(int argc, char** argv) {
  cxxopts::Options options(
      "rotor classify",
      "Classifies the test images of a data set in IDX files (t10k-*, plain or .gz) and prints\n"
      "accuracy, confusion matrix and speed.");
  options.add_options()("model", ".rotor file", cxxopts::value<std::string>())(
      "data", "folder of the IDX files", cxxopts::value<std::string>())("limit", "only the first N images",
                                                                        cxxopts::value<int64_t>())(
      "batch", "images a batch", cxxopts::value<int64_t>()->default_value("32"))(
      "t,threads", "threads (default: all cores)", cxxopts::value<int64_t>())(
      "backend", "backend to run on (default: the first that runs here)", cxxopts::value<std::string>())(
      "device", "the backend's device: its number, or part of its name (default: the best one)",
      cxxopts::value<std::string>()->default_value(""))("check", "verify the whole file first")("json",
                                                                                                "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"model"}, kClassifyExamples);
  if (!parsed) return 0;
  if (parsed->count("data") == 0) throw tool::UsageError("expected --data DIR; see rotor classify --help");

  ClassifyOptions run;
  run.batch = (*parsed)["batch"].as<int64_t>();
  run.threads = parsed->count("threads") != 0 ? (*parsed)["threads"].as<int64_t>()
                                              : std::max<int64_t>(1, std::thread::hardware_concurrency());
  if (run.batch < 1 || run.batch > 65536) fail("--batch: expected 1 to 65536, found ", run.batch);
  if (run.threads < 1 || run.threads > 1024) fail("--threads: expected 1 to 1024, found ", run.threads);

  const RotorFile file((*parsed)["model"].as<std::string>());
  if (parsed->count("check") != 0) file.check();
  const auto directory = (*parsed)["data"].as<std::string>();
  const Classifier classifier(file);
  const MlpConfig& mlp = classifier.model().config().mlp;
  IdxDataset data = load_idx(directory, IdxSplit::test);
  check_idx(data, directory, mlp.layer_sizes.front(), mlp.num_classes());
  if (parsed->count("limit") != 0) {
    const auto limit = (*parsed)["limit"].as<int64_t>();
    if (limit < 1) fail("--limit: expected at least 1, found ", limit);
    keep_first(data, static_cast<size_t>(limit));
  }

  const auto backend =
      make_backend(parsed->count("backend") != 0 ? (*parsed)["backend"].as<std::string>() : "", 1, false,
                   (*parsed)["device"].as<std::string>());
  const std::string device = backend->device();
  std::fprintf(stderr, "backend %s, kernels %s, %s\n",
               device.empty() ? backend->name().c_str()
                              : cat(backend->name(), " (", tool::printable(device), ")").c_str(),
               backend->kernels().c_str(), tool::count_text(run.threads, "thread").c_str());
  tool::catch_interrupts();
  tool::Progress progress("classify", static_cast<int64_t>(data.count));
  run.on_progress = [&](int64_t done) {
    progress.update(done, cat(done, "/", data.count, " images"));
    return !tool::interrupted();
  };
  const ClassifyResult result = classifier.evaluate(*backend, data, run);
  const double images_per_second =
      result.seconds > 0 ? static_cast<double>(result.total) / result.seconds : 0.0;
  const double milliseconds =
      result.total > 0 ? 1e3 * result.seconds / static_cast<double>(result.total) : 0.0;
  progress.finish(cat(result.total, " images"));

  if (parsed->count("json") != 0) {
    const Json json = {{"accuracy", result.accuracy()},
                       {"correct", result.correct},
                       {"images", result.total},
                       {"images_per_second", images_per_second},
                       {"milliseconds_per_image", milliseconds},
                       {"confusion", result.confusion},
                       {"backend", backend->name()},
                       {"device", device.empty() ? Json(nullptr) : Json(device)},
                       {"kernels", backend->kernels()},
                       {"threads", run.threads}};
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    print_confusion(mlp, result);
    std::printf("accuracy %.2f %% (%lld of %lld), %.0f images/s, %.4f ms/image\n", 100 * result.accuracy(),
                static_cast<long long>(result.correct), static_cast<long long>(result.total),
                images_per_second, milliseconds);
  }
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
