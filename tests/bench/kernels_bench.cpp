// Micro-benchmarks of every kernel set, one thread. GB/s counts the bytes that the operation must read and
// write.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "export/convert.h"
#include "rotor/core/error.h"
#include "rotor/core/planes.h"
#include "rotor/core/tiles.h"
#include "rotor/kernels/kernels.h"
#include "runtime/model/mlp.h"

namespace rotor {

#ifdef ROTOR_PEAK_X86
namespace bench {  // peak_x86.cpp
void dot_avx512vnni(int64_t rounds);
void dot_avx2(int64_t rounds);
}  // namespace bench
#endif

namespace {

using kernels::Kernels;

constexpr size_t kMillion = 1 << 20;

std::vector<int8_t> random_values(size_t count, int low, int high) {
  std::mt19937 engine(1);
  std::uniform_int_distribution<int> distribution(low, high);
  std::vector<int8_t> values(count);
  for (int8_t& v : values) v = static_cast<int8_t>(distribution(engine));
  return values;
}

void set_bytes(benchmark::State& state, size_t bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(bytes));
}

void encode(benchmark::State& state, Kernels k) {
  const auto values = random_values(kMillion, -1, 1);
  TernaryVector planes(kMillion);
  for (auto _ : state) {
    k->encode_trits(values.data(), kMillion, planes.plus.data(), planes.minus.data());
    benchmark::DoNotOptimize(planes.plus.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, kMillion + kMillion / 4);
}

void decode(benchmark::State& state, Kernels k) {
  const TernaryVector planes = encode_trits(random_values(kMillion, -1, 1));
  std::vector<int8_t> values(kMillion);
  for (auto _ : state) {
    k->decode_trits(planes.plus.data(), planes.minus.data(), kMillion, values.data());
    benchmark::DoNotOptimize(values.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, kMillion + kMillion / 4);
}

void dot_ternary(benchmark::State& state, Kernels k) {
  const TernaryVector a = encode_trits(random_values(kMillion, -1, 1));
  const TernaryVector b = a;
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        k->dot_ternary(a.plus.data(), a.minus.data(), b.plus.data(), b.minus.data(), a.plus.size()));
  }
  set_bytes(state, kMillion / 2);
}

void dot_int8(benchmark::State& state, Kernels k) {
  const TernaryVector a = encode_trits(random_values(kMillion, -1, 1));
  const auto x = random_values(kMillion, -127, 127);
  for (auto _ : state) {
    benchmark::DoNotOptimize(k->dot_int8(a.plus.data(), a.minus.data(), x.data(), a.plus.size()));
  }
  set_bytes(state, kMillion + kMillion / 4);
}

constexpr size_t kSide = 2048;

std::vector<uint8_t> square_matrix() {
  std::vector<uint8_t> tiles(tile_bytes(kSide, kSide));
  pack_tiles(random_values(kSide * kSide, -1, 1), kSide, kSide, tiles);
  return tiles;
}

void matvec_int8(benchmark::State& state, Kernels k) {
  const auto tiles = square_matrix();
  const auto x = random_values(kSide, -127, 127);
  std::vector<int32_t> sums(kSide);
  for (auto _ : state) {
    k->matvec_int8(tiles.data(), row_tiles(kSide), column_tiles(kSide), x.data(), sums.data());
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, tiles.size());
}

/// GMAC/s: multiply-adds of weights and activations.
void matmul_int8(benchmark::State& state, Kernels k, size_t batch) {
  const auto tiles = square_matrix();
  const auto x = random_values(batch * kSide, -127, 127);
  std::vector<int8_t> blocks((batch + kernels::kTokenBlock - 1) / kernels::kTokenBlock *
                             kernels::kTokenBlock * kSide);
  std::vector<int32_t> token_sums(batch);
  k->arrange_tokens(x.data(), column_tiles(kSide), batch, blocks.data(), token_sums.data());
  std::vector<int32_t> sums(batch * kSide);
  for (auto _ : state) {
    k->matmul_int8(tiles.data(), row_tiles(kSide), column_tiles(kSide), blocks.data(), token_sums.data(),
                   batch, sums.data());
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  state.counters["GMAC/s"] = benchmark::Counter(1e-9 * static_cast<double>(batch * kSide * kSide),
                                                benchmark::Counter::kIsIterationInvariantRate);
}

#ifdef ROTOR_PEAK_X86
void peak(benchmark::State& state, void (*dot)(int64_t), double macs) {
  constexpr int64_t kRounds = 100000;
  for (auto _ : state) {
    dot(kRounds);
  }
  state.counters["GMAC/s"] =
      benchmark::Counter(1e-9 * macs * kRounds, benchmark::Counter::kIsIterationInvariantRate);
}
#endif

void matvec_ternary(benchmark::State& state, Kernels k) {
  const auto tiles = square_matrix();
  const TernaryVector x = encode_trits(random_values(kSide, -1, 1));
  std::vector<int32_t> sums(kSide);
  for (auto _ : state) {
    k->matvec_ternary(tiles.data(), row_tiles(kSide), column_tiles(kSide), x.plus.data(), x.minus.data(),
                      sums.data());
    benchmark::DoNotOptimize(sums.data());
    benchmark::ClobberMemory();
  }
  set_bytes(state, tiles.size());
}

/// Forward pass of a 784-256-128-10 network on a batch of 32, activations as the model says.
void forward(benchmark::State& state, Kernels k, Activation activation) {
  ModelConfig config;
  config.mlp.layer_sizes = {784, 256, 128, 10};
  config.mlp.activation = activation;
  const std::string directory = std::filesystem::temp_directory_path() / cat("rotor-bench-", getpid());
  std::filesystem::create_directories(directory);
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> values;
  write_checkpoint(directory, config, [&](const TensorSpec& spec) -> std::span<const float> {
    values.resize(static_cast<size_t>(num_parameters({spec})));
    for (float& v : values) v = normal(engine);
    return values;
  });
  const std::string path = directory + "/m.rotor";
  exporting::export_rotor(Checkpoint(directory), path, {}, [](const auto&) {});
  {
    const RotorFile file(path);
    const runtime::Mlp model(file);
    setenv("ROTOR_KERNELS", k.name(), 1);
    const auto backend = runtime::make_backend("cpu");
    unsetenv("ROTOR_KERNELS");
    auto workspace = model.make_workspace(*backend, 32);
    values.resize(32 * 784);
    for (float& v : values) v = normal(engine);
    backend->upload(values, workspace.input);
    for (auto _ : state) benchmark::DoNotOptimize(model.forward(*backend, workspace));
  }
  state.counters["images_per_second"] =
      benchmark::Counter(32.0 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  std::filesystem::remove_all(directory);
}

void register_all() {
  for (kernels::RegisteredSet& entry : kernels::registered_sets()) {
    if (!entry.set->supported()) continue;
    const Kernels k(entry);
#ifdef ROTOR_PEAK_X86
    if (std::string(k.name()) == "avx2")
      benchmark::RegisterBenchmark("peak_int8/avx2", peak, bench::dot_avx2, 8 * 32);
    if (std::string(k.name()) == "avx512vnni") {
      benchmark::RegisterBenchmark("peak_int8/avx512vnni", peak, bench::dot_avx512vnni, 24 * 64);
    }
#endif
    const auto add = [&](const char* name, auto function) {
      benchmark::RegisterBenchmark((std::string(name) + "/" + k.name()).c_str(),
                                   [=](benchmark::State& state) { function(state, k); })
          ->Unit(benchmark::kMillisecond);
    };
    add("encode_1M", encode);
    add("decode_1M", decode);
    add("dot_ternary_1M", dot_ternary);
    add("dot_int8_1M", dot_int8);
    add("matvec_int8_2048x2048", matvec_int8);
    for (const size_t batch : {4, 16, 128}) {
      add(cat("matmul_int8_2048x2048_batch_", batch).c_str(),
          [batch](benchmark::State& state, Kernels kernels) { matmul_int8(state, kernels, batch); });
    }
    add("matvec_ternary_2048x2048", matvec_ternary);
    add("forward_784-256-128-10_batch32_int8", [](benchmark::State& state, Kernels kernels_used) {
      forward(state, kernels_used, Activation::relu);
    });
    add("forward_784-256-128-10_batch32_sign", [](benchmark::State& state, Kernels kernels_used) {
      forward(state, kernels_used, Activation::sign);
    });
  }
}

}  // namespace
}  // namespace rotor

int main(int argc, char** argv) {
  rotor::register_all();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
