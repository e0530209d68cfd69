// Each candidate runs the same commands; the fastest of its runs counts, since whatever disturbs makes them
// longer.
#include "runtime/backends/gpu/tune.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "runtime/backends/gpu/gpu_linear.h"

namespace rotor::runtime::gpu {
namespace {

constexpr int kVersion = 2;  // of kernels and candidates: what was measured for others does not count
constexpr uint64_t kBytes = uint64_t{1} << 26;
constexpr uint64_t kCols = 2560;  // of BitNet b1.58 2B4T
constexpr uint64_t kRows = 2560;

class Measurement {
 public:
  explicit Measurement(Context& context)
      : context_(context),
        bytes_(std::min({kBytes, context.info().largest_binding, context.info().largest_buffer})),
        weights_{context.device().allocate(bytes_, false), 0, bytes_},
        activations_{context.device().allocate(kActivationBytes, false), 0, kActivationBytes},
        outputs_{context.device().allocate(kActivationBytes, false), 0, kActivationBytes} {}

  Tuning run() {
    Tuning best = default_tuning(context_.info());
    choose(best, matvecs(best), [&](const Tuning& t) { run_matvec(t); });
    choose(best, denses(best), [&](const Tuning& t) { run_dense(t); });
    choose(best, matmuls(best), [&](const Tuning& t) { run_matmul(t); });
    choose(best, groups(best, &Tuning::row_group, 32, 1024), [&](const Tuning& t) { run_rows(t); });
    return best;
  }

 private:
  static constexpr uint64_t kActivationBytes = uint64_t{1} << 22;

  void choose(Tuning& best, const std::vector<Tuning>& candidates,
              const std::function<void(const Tuning&)>& run) {
    double least = std::numeric_limits<double>::infinity();
    Tuning chosen = best;
    for (const Tuning& candidate : candidates) {
      const double seconds = time(candidate, run, least);
      if (seconds < least) {
        least = seconds;
        chosen = candidate;
      }
    }
    best = chosen;
  }

  /// The least time of some runs; of one, if that is far from `least`.
  double time(const Tuning& tuning, const std::function<void(const Tuning&)>& run, double least) {
    constexpr int kRuns = 4;
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i <= kRuns; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run(tuning);
      context_.flush();
      context_.device().wait();
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (i > 0) best = std::min(best, seconds);  // the first one compiles and warms up
      if (i == 1 && best > 2 * least) break;
    }
    return best;
  }

  std::vector<Tuning> matvecs(const Tuning& from) const {
    std::vector<Tuning> all;
    for (uint32_t rows : {1U, 4U, 16U}) {
      if (rows > context_.info().most_rows || (rows > 4 && context_.info().dot_product)) continue;
      const uint32_t most = context_.info().type == DeviceType::cpu ? 32 / rows : 256;
      for (uint32_t group = 16 / rows; group <= std::min(most, context_.info().largest_group); group *= 2) {
        all.push_back(from);
        all.back().matvec_rows = rows;
        all.back().matvec_group = group;
      }
    }
    return all;
  }

  std::vector<Tuning> denses(const Tuning& from) const {
    const bool cpu = context_.info().type == DeviceType::cpu;
    std::vector<Tuning> all;
    for (uint32_t lanes : cpu ? std::vector<uint32_t>{1, 4} : std::vector<uint32_t>{8, 16, 32, 64}) {
      for (uint32_t group : cpu ? std::vector<uint32_t>{lanes} : std::vector<uint32_t>{64, 128, 256}) {
        for (uint32_t block : {1U, 4U}) {
          if (group > context_.info().largest_group || group < lanes) continue;
          all.push_back(from);
          all.back().dense_lanes = lanes;
          all.back().dense_group = group;
          all.back().dense_block = block;
        }
      }
    }
    return all;
  }

  std::vector<Tuning> matmuls(const Tuning& from) const {
    std::vector<Tuning> all;
    if (context_.info().type != DeviceType::cpu) all = groups(from, &Tuning::matmul_group, 64, 256);
    for (uint32_t tokens : {4U, 8U}) {
      all.push_back(from);
      all.back().matmul_tokens = tokens;
    }
    return all;
  }

  std::vector<Tuning> groups(const Tuning& from, uint32_t Tuning::*field, uint32_t least,
                             uint32_t most) const {
    std::vector<Tuning> all;
    for (uint32_t group = least; group <= std::min(most, context_.info().largest_group); group *= 2) {
      all.push_back(from);
      all.back().*field = group;
    }
    return all;
  }

  /// Square matrices one after another, as layers come.
  void run_matvec(const Tuning& t) {
    const bool dot = context_.info().dot_product;
    const Kernel& kernel = context_.kernel("matvec_int8", {{"ROWS", t.matvec_rows}, {"DOT", dot}},
                                           t.matvec_group, {{"TOKENS", 1}});
    const uint64_t matrix = tile_bytes(kRows, kCols);
    for (uint64_t offset = 0; offset + matrix <= bytes_; offset += matrix) {
      const uint64_t tiles = row_tiles(kRows);
      context_.run(
          kernel,
          {{weights_.buffer, offset, matrix},
           activations_,
           activations_,
           activations_,
           outputs_,
           outputs_,
           outputs_},
          {column_tiles(kCols), 0U, 0U, 0U, tiles, tiles, kRows, kRows, kRows, 1.0F, 1.0F, 1.0F, 0U, 1U},
          {tiles, 1, 1});
    }
  }

  void run_dense(const Tuning& t) {
    const Kernel& kernel =
        context_.kernel("matvec_dense", {{"TYPE", 2}}, t.dense_group,
                        {{"LANES", t.dense_lanes}, {"BLOCK", t.dense_block}, {"TOKENS", 1}, {"VECTORS", 1}});
    const uint64_t rows = bytes_ / kCols;
    const uint64_t group_rows = uint64_t{t.dense_group / t.dense_lanes} * t.dense_block;
    context_.run(kernel, {weights_, activations_, activations_, outputs_},
                 {rows, kCols, 1U, rows, 0U, 0U, 1.0F}, {ceil_div(rows, group_rows), 1, 1});
  }

  void run_matmul(const Tuning& t) {
    constexpr uint64_t kTokens = 32;
    const bool dot = context_.info().dot_product;
    const uint64_t tiles = row_tiles(kRows);
    const uint64_t col_tiles = column_tiles(kCols);
    if (t.matmul_tokens > 1) {
      const Kernel& kernel = context_.kernel("matvec_int8", {{"ROWS", t.matvec_rows}, {"DOT", dot}},
                                             t.matvec_group, {{"TOKENS", t.matmul_tokens}});
      context_.run(kernel, {weights_, activations_, activations_, activations_, outputs_, outputs_, outputs_},
                   {col_tiles, 0U, 0U, 0U, tiles, tiles, kRows, kRows, kRows, 1.0F, 1.0F, 1.0F, 0U, kTokens},
                   {tiles, ceil_div(kTokens, t.matmul_tokens), 1});
    } else {
      const Kernel& kernel = context_.kernel("matmul_int8", {{"DOT", dot}}, t.matmul_group);
      context_.run(kernel, {weights_, activations_, activations_, activations_, outputs_},
                   {kRows, col_tiles, tiles, kTokens, 0U, kRows, 1.0F, 0U},
                   {tiles / 4, ceil_div(kTokens, t.matmul_group / 4), 1});
    }
  }

  void run_rows(const Tuning& t) {
    const Kernel& kernel = context_.kernel(
        "quantize_int8", {{"SUBGROUPS", context_.info().subgroup_sums}, {"DOT", context_.info().dot_product}},
        t.row_group, {{"KEPT", kept_words(kCols, t.row_group)}});
    for (int i = 0; i < 16; ++i) {
      context_.run(kernel, {activations_, activations_, activations_, outputs_, outputs_, outputs_},
                   {kCols, column_tiles(kCols), 0U, 0U, 1U, 1e-5F}, {1, 1, 1});
    }
  }

  Context& context_;
  uint64_t bytes_;
  Binding weights_, activations_, outputs_;
};

std::string cache_key(const std::string& api, const DeviceInfo& info) {
  return cat(kVersion, "|", api, "|", info.name, "|", info.driver);
}

Json read_cache(const std::string& path) {
  try {
    Json json = std::filesystem::exists(path) ? read_json_file(path) : Json::object();
    return json.is_object() ? json : Json::object();
  } catch (const Error&) {
    return Json::object();  // it is written anew
  }
}

void keep(const std::string& path, const std::string& key, const Tuning& tuning) {
  try {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    Json json = read_cache(path);
    json[key] = to_text(tuning);
    AtomicFile file(path);
    file.write(dump_json(json, 2) + "\n");
    file.commit();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: the choice is not kept: %s\n", path.c_str(), e.what());
  }
}

}  // namespace

Tuning measure_tuning(Context& context) {
  return Measurement(context).run();
}

std::string tuning_cache_path() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  if (cache != nullptr && *cache != '\0') return cat(cache, "/rotor/gpu-tuning.json");
  if (home != nullptr && *home != '\0') return cat(home, "/.cache/rotor/gpu-tuning.json");
  return "";
}

Tuning tuning_for(const std::string& api, Context& context) {
  const DeviceInfo& info = context.info();
  Tuning tuning = default_tuning(info);
  const char* variable = std::getenv("ROTOR_GPU_TUNING");
  const std::string wanted = variable == nullptr ? "" : variable;
  if (wanted == "default") return tuning;
  if (wanted.find('=') != std::string::npos) {
    try {
      set_from_text(wanted, info, tuning);
    } catch (const Error& e) {
      fail("ROTOR_GPU_TUNING: ", e.what());
    }
    return tuning;
  }
  if (!wanted.empty() && wanted != "measure") {
    fail("ROTOR_GPU_TUNING: expected default, measure or NAME=VALUE ..., found \"", wanted, "\"");
  }
  const std::string path = tuning_cache_path();
  const std::string key = cache_key(api, info);
  if (wanted.empty() && !path.empty()) {
    const Json cache = read_cache(path);
    try {
      if (cache.contains(key)) {
        set_from_text(cache.at(key).get<std::string>(), info, tuning);
        return tuning;
      }
    } catch (const std::exception&) {
      tuning = default_tuning(info);  // of another time: measured again
    }
  }
  std::fprintf(stderr, "%s: measuring which kernels suit %s; the choice is kept\n", api.c_str(),
               info.name.c_str());
  tuning = measure_tuning(context);
  if (!path.empty()) keep(path, key, tuning);
  return tuning;
}

}  // namespace rotor::runtime::gpu
