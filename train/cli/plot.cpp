// rotor-train plot: the metrics of a run as a page to look at.
#include <cstdio>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/tool/options.h"
#include "train/cli/commands.h"
#include "train/plot/metrics_log.h"
#include "train/plot/plot_page.h"

namespace rotor::train::cli {
namespace {

constexpr const char* kPlotExamples =
    "  rotor-train plot runs/fashion-mlp                     writes runs/fashion-mlp/plot.html\n"
    "  rotor-train plot runs/fashion-mlp --out fashion.html  also while the run goes on\n";

}  // namespace

int plot(int argc, char** argv) {
  cxxopts::Options options(
      "rotor-train plot",
      "Draws loss curves, speed, ternary telemetry and samples of a run as one HTML page that "
      "any browser shows, offline.");
  options.add_options()("run_dir", "output_dir of a run", cxxopts::value<std::string>())(
      "out", "file to write (default: RUN_DIR/plot.html)", cxxopts::value<std::string>());
  const auto parsed = tool::parse_options(options, argc, argv, {"run_dir"}, kPlotExamples);
  if (!parsed) return 0;
  const auto run_dir = (*parsed)["run_dir"].as<std::string>();
  const std::filesystem::path folder = std::filesystem::weakly_canonical(run_dir);
  if (!std::filesystem::is_directory(folder))
    fail(run_dir, ": expected the output_dir of a run, a directory");
  const MetricsLog log = read_metrics(run_dir + "/metrics.jsonl");
  const std::string out =
      parsed->count("out") != 0 ? (*parsed)["out"].as<std::string>() : run_dir + "/plot.html";
  write_file(out, plot_page(folder.filename(), log));
  for (const std::string& note : log.notes) std::fprintf(stderr, "note: %s\n", note.c_str());
  std::fprintf(stderr, "wrote %s: open it in a browser\n", out.c_str());
  return 0;
}

}  // namespace rotor::train::cli
