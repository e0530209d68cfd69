// rotor bench: tokens per second, and how near that is to what the machine's memory can give.
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/model_options.h"
#include "runtime/engine/benchmark.h"
#include "runtime/engine/synthetic_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kBenchExamples =
    "  rotor bench model.rotor                       prompt of 128 tokens, then 64 one by one\n"
    "  rotor bench --shape bitnet-2b-4t -t 2         random weights of a published shape, 850 MB in $TMPDIR\n"
    "  rotor bench model.rotor -p 512 -n 128 -r 9 --json\n";

/// A model of random weights, in a file that goes when this object does unless it is to be kept.
class SyntheticFile {
 public:
  SyntheticFile(const std::string& shape, DenseType head, const std::string& kept_path)
      : path_(kept_path.empty()
                  ? std::filesystem::temp_directory_path() / cat("rotor-bench-", getpid(), ".rotor")
                  : std::filesystem::path(kept_path)),
        keep_(!kept_path.empty()) {
    const ModelConfig config = published_shape(shape);
    std::optional<tool::Progress> progress;
    const bool screening = head == DenseType::q8 && screening_pays(config);
    write_synthetic_model(path_, config, {head, screening}, [&](int64_t done, int64_t total) {
      if (!progress) progress.emplace("random weights", total);
      progress->update(done, cat(done, "/", total, " tensors"));
      if (tool::interrupted()) fail("interrupted");
    });
    progress->finish(cat("shape ", shape, ", head ", name(head)));
    // Read again, the file comes in huge pages where the system has them; as it was written it does not.
    if (const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC); fd >= 0) {
      posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
      close(fd);
    }
  }
  ~SyntheticFile() {
    std::error_code ignored;
    if (!keep_) std::filesystem::remove(path_, ignored);
  }
  SyntheticFile(const SyntheticFile&) = delete;
  SyntheticFile& operator=(const SyntheticFile&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool keep_;
};

int64_t count_option(const cxxopts::ParseResult& parsed, const std::string& flag, int64_t least,
                     int64_t most) {
  const auto value = parsed[flag].as<int64_t>();
  if (value < least || value > most) fail("--", flag, ": expected ", least, " to ", most, ", found ", value);
  return value;
}

Json spread_json(const Sample& sample) {
  return sample.values.empty() ? Json(nullptr) : Json(sample.spread());
}
Json median_json(const Sample& sample) {
  return sample.values.empty() ? Json(nullptr) : Json(sample.median());
}

Json to_json(const LanguageModel& model, const BenchmarkOptions& options, const BenchmarkResult& result) {
  const Sample share = result.bandwidth_share();
  Json json = {{"prompt_tokens", options.prompt_tokens},
               {"prompt_tokens_per_second", median_json(result.prompt_tokens_per_second)},
               {"prompt_spread", spread_json(result.prompt_tokens_per_second)},
               {"first_token_milliseconds", result.first_token_seconds.values.empty()
                                                ? Json(nullptr)
                                                : Json(1e3 * result.first_token_seconds.median())},
               {"decode_tokens", options.decode_tokens},
               {"depth", options.depth},
               {"batch", options.batch},
               {"decode_tokens_per_second", median_json(result.decode_tokens_per_second)},
               {"decode_spread", spread_json(result.decode_tokens_per_second)},
               {"bytes_per_token", result.bytes_per_token},
               {"head_screening", name(options.session.head_screening)},
               {"head_share_read", result.head_share},
               {"top_k", options.top_k},
               {"read_bandwidth_bytes_per_second", median_json(result.read_bandwidth)},
               {"read_bandwidth_spread", spread_json(result.read_bandwidth)},
               {"bandwidth_share", median_json(share)},
               {"joule_per_token", result.joule_per_token ? Json(*result.joule_per_token) : Json(nullptr)},
               {"repetitions", options.repetitions},
               {"kv", name(options.session.kv)},
               {"head", model.config().ternary_head ? "ternary" : name(model.file().dense_format().type)}};
  json.update(backend_json(model));
  if (result.launches_per_token > 0) {
    json["launches_per_token"] = result.launches_per_token;
    json["submissions_per_token"] = result.submissions_per_token;
  }
  return json;
}

void print_row(const std::string& what, const Sample& sample, const std::string& value) {
  std::printf("  %-26s %14s   +- %.1f %%\n", what.c_str(), value.c_str(), 100 * sample.spread());
}

void print(const BenchmarkOptions& options, const BenchmarkResult& result) {
  if (options.prompt_tokens > 0) {
    const Sample& prompt = result.prompt_tokens_per_second;
    print_row(cat("prompt of ", options.prompt_tokens), prompt,
              tool::format("%.1f tokens/s", prompt.median()));
    print_row("first token after", result.first_token_seconds,
              tool::format("%.1f ms", 1e3 * result.first_token_seconds.median()));
  }
  if (options.decode_tokens > 0) {
    const Sample& speed = result.decode_tokens_per_second;
    const std::string texts = options.batch > 1 ? cat(options.batch, " x ") : "";
    print_row(cat("decode of ", texts, options.decode_tokens), speed,
              tool::format("%.1f tokens/s", speed.median()));
    std::printf("  %-26s %14s\n", "read per token",
                tool::bytes_text(static_cast<double>(result.bytes_per_token)).c_str());
    if (result.launches_per_token > 0) {
      std::printf(
          "  %-26s %14s\n", "launches per token",
          tool::format("%.0f in %.2f submissions", result.launches_per_token, result.submissions_per_token)
              .c_str());
    }
    if (result.head_share < 1.0) {
      std::printf("  %-26s %14s\n", "of the head's rows",
                  tool::format("%.2f %%", 100 * result.head_share).c_str());
    }
  }
  if (options.measure_bandwidth) {
    print_row("memory, plain reading", result.read_bandwidth,
              tool::format("%.1f GB/s", 1e-9 * result.read_bandwidth.median()));
    const Sample share = result.bandwidth_share();
    if (!share.values.empty()) {
      print_row("share of it in decode", share, tool::format("%.1f %%", 100 * share.median()));
    }
  }
  if (result.joule_per_token) {
    std::printf("  %-26s %14s\n", "energy per token",
                tool::format("%.3f J", *result.joule_per_token).c_str());
  }
}

}  // namespace

int bench(int argc, char** argv) {
  cxxopts::Options options(
      "rotor bench",
      "Measures prompt and generation speed, medians over repetitions, next to the memory bandwidth\n"
      "of this machine at the same moment. +- is half the distance between the quartiles.");
  add_model_options(options, "f16");
  add_head_screening_option(options);
  std::string shapes;
  for (const std::string& shape : published_shapes()) shapes += (shapes.empty() ? "" : " | ") + shape;
  options.add_options()("shape", "random weights of a published shape instead of a model: " + shapes,
                        cxxopts::value<std::string>())("head", "head of --shape: f32 | f16 | q8",
                                                       cxxopts::value<std::string>()->default_value("q8"))(
      "keep", "keep the model of --shape in this file", cxxopts::value<std::string>()->default_value(""))(
      "p,prompt-tokens", "tokens of the prompt", cxxopts::value<int64_t>()->default_value("128"))(
      "n,predict", "tokens to decode one by one", cxxopts::value<int64_t>()->default_value("64"))(
      "depth", "tokens in the cache before they are decoded", cxxopts::value<int64_t>()->default_value("0"))(
      "batch", "texts that are decoded together, as a server does",
      cxxopts::value<int64_t>()->default_value("1"))(
      "top-k", "logits that are wanted of a decoded token: of the K most likely ones; 0: all",
      cxxopts::value<int64_t>()->default_value("40"))("r,repetitions", "repetitions",
                                                      cxxopts::value<int64_t>()->default_value("5"))(
      "no-bandwidth", "do not measure memory bandwidth (needs 1 GiB)")("json", "print JSON");
  const auto parsed = parse_model_options(options, argc, argv, {}, kBenchExamples, {"model"});
  if (!parsed) return 0;
  if (parsed->count("model") + parsed->count("shape") != 1) {
    throw tool::UsageError("expected MODEL or --shape NAME; see rotor bench --help");
  }
  tool::catch_interrupts();
  BenchmarkOptions bench_options;
  bench_options.prompt_tokens = count_option(*parsed, "prompt-tokens", 0, 1 << 20);
  bench_options.decode_tokens = count_option(*parsed, "predict", 0, 1 << 20);
  bench_options.depth = count_option(*parsed, "depth", 0, 1 << 20);
  bench_options.batch = count_option(*parsed, "batch", 1, 1 << 12);
  bench_options.top_k = count_option(*parsed, "top-k", 0, 1 << 20);
  bench_options.repetitions = count_option(*parsed, "repetitions", 1, 10000);
  bench_options.measure_bandwidth = parsed->count("no-bandwidth") == 0;

  std::optional<SyntheticFile> synthetic;
  ModelOptions model_options = read_model_options(*parsed);
  if (parsed->count("shape") != 0) {
    synthetic.emplace((*parsed)["shape"].as<std::string>(),
                      dense_type_from_name((*parsed)["head"].as<std::string>()),
                      (*parsed)["keep"].as<std::string>());
    model_options.path = synthetic->path();
  }
  const LanguageModel model(model_options.path, model_options.model);
  bench_options.session = model_options.session;
  model.place(session_options(bench_options));
  say_backend(model);
  std::optional<tool::Progress> progress;
  progress.emplace("measuring", bench_options.repetitions + 1);
  bench_options.keep_going = [&](int64_t done, int64_t total) {
    progress->update(done, cat(done, "/", total, " repetitions"));
    return !tool::interrupted();
  };
  const BenchmarkResult result = run_benchmark(model, bench_options);
  progress.reset();
  model.file().check_intact();
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json(to_json(model, bench_options, result), 2).c_str());
  } else {
    print(bench_options, result);
  }
  return tool::interrupted() ? tool::kInterruptedStatus : 0;
}

}  // namespace rotor::runtime::cli
