// What the KV cache costs and gains on the shape of BitNet b1.58 2B-4T with random weights: the cost of a
// token by its position, and of computing the same token without a cache. docs/benchmarks.md holds results.
//
//   kv_bench [DIRECTORY for a model file of 1.2 GB, default /tmp] [threads] [layers, default 30]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "rotor/formats/rotor_file.h"
#include "rotor/tool/main.h"
#include "runtime/engine/session.h"
#include "runtime/engine/synthetic_model.h"

namespace {

using namespace rotor;

constexpr int kRounds = 11;

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  const std::string directory = argc > 1 ? argv[1] : "/tmp";
  const int64_t threads = argc > 2 ? std::stoll(argv[2]) : 2;
  ModelConfig config = runtime::published_shape("bitnet-2b-4t");
  if (argc > 3) config.transformer.num_hidden_layers = std::stoll(argv[3]);
  const std::string path = directory + "/kv_bench.rotor";
  runtime::write_synthetic_model(path, config, DenseType::q8, [](int64_t, int64_t) {});
  {
    const RotorFile file(path);
    const auto backend = runtime::make_backend("cpu", threads);
    const runtime::Transformer model(file);
    std::vector<text::TokenId> ids(256);
    for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<text::TokenId>(i * 97 % 128256);
    for (const runtime::KvType kv : {runtime::KvType::f32, runtime::KvType::f16, runtime::KvType::q8}) {
      runtime::Session near(model, *backend, {.context = 512, .kv = kv});
      runtime::Session far(model, *backend, {.context = 512, .kv = kv});
      near.feed(std::span(ids).first(16));
      const double prefill = seconds_of([&] { far.feed(ids); });
      std::vector<double> at16;
      std::vector<double> at256;
      // Interleaved: what else the machine does falls on both.
      for (int round = 0; round < kRounds; ++round) {
        near.rewind(15);
        at16.push_back(seconds_of([&] { near.feed(std::span(ids).subspan(15, 1)); }));
        far.rewind(255);
        at256.push_back(seconds_of([&] { far.feed(std::span(ids).subspan(255, 1)); }));
      }
      std::printf(
          "kv %s, kernels %s, %lld threads: token 16 %.1f ms, token 256 %.1f ms, ratio %.3f; without a cache "
          "the "
          "256th takes %.0f ms, %.1f times as long\n",
          name(kv), backend->kernels().c_str(), static_cast<long long>(threads), 1e3 * median(at16),
          1e3 * median(at256), median(at256) / median(at16), 1e3 * prefill, prefill / median(at256));
      std::fflush(stdout);
    }
  }
  std::filesystem::remove(path);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return tool::run_guarded("kv_bench", [&] { return run(argc, argv); });
}
