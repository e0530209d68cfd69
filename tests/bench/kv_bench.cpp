// What the KV cache costs and gains on the shape of BitNet b1.58 2B-4T with random weights: the cost of a
// token by its position, and of computing the same token without a cache. docs/benchmarks.md holds results.
//
//   kv_bench [DIRECTORY for a model file of 1.2 GB, default /tmp] [threads] [layers, default 30]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <random>
#include <vector>

#include "rotor/core/tiles.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/tool/main.h"
#include "runtime/engine/session.h"

namespace {

using namespace rotor;

constexpr int kRounds = 11;

ModelConfig shape_2b_4t(int64_t layers) {
  ModelConfig config;
  config.model_type = "bitnet";
  TransformerConfig& t = config.transformer;
  t.vocab_size = 128256;
  t.hidden_size = 2560;
  t.intermediate_size = 6912;
  t.num_hidden_layers = layers;
  t.num_attention_heads = 20;
  t.num_key_value_heads = 5;
  t.head_dim = 128;
  t.max_position_embeddings = 4096;
  return config;
}

void write_random_model(const std::string& path, const ModelConfig& config) {
  std::mt19937_64 random(1);
  RotorWriter writer(path, config, DenseType::f16);
  for (const TensorSpec& spec : tensor_table(config)) {
    const auto rows = static_cast<size_t>(spec.shape[0]);
    if (spec.role == TensorRole::linear) {
      // A third each of -1, 0 and +1 or so; the sizes leave no padding.
      std::vector<uint8_t> tiles(tile_bytes(rows, static_cast<size_t>(spec.shape[1])));
      for (size_t i = 0; i < tiles.size(); i += kTileBytes) {
        for (size_t b = 0; b < kPlaneBytes; ++b) {
          const auto bits = random();
          tiles[i + b] = static_cast<uint8_t>(bits & ~(bits >> 8));
          tiles[i + kPlaneBytes + b] = static_cast<uint8_t>((bits >> 8) & ~bits);
        }
      }
      writer.write_ternary(spec.name, tiles, 0.02F);
      continue;
    }
    const size_t count = spec.role == TensorRole::vector ? rows : rows * static_cast<size_t>(spec.shape[1]);
    std::vector<float> values(count, 1.0F);
    if (spec.role == TensorRole::embedding) {
      for (float& v : values) v = static_cast<float>(random() >> 40) * 0x1p-24F - 0.5F;
    }
    writer.write_floats(spec.name, values);
  }
  writer.commit();
}

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
  const ModelConfig config = shape_2b_4t(argc > 3 ? std::stoll(argv[3]) : 30);
  const std::string path = directory + "/kv_bench.rotor";
  write_random_model(path, config);
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
