// How weights get to a GPU: held or not, imported or copied, cut where kernels see or buffers hold too little
// of them, shared, and given back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "rotor/core/tiles.h"
#include "runtime/ops/ops.h"
#include "tests/support/gpu_backends.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::gpu {
namespace {

using test::disguised_backend;
using test::DisguisedDevice;
using test::Random;

/// Bytes at the beginning of a page, or `offset` behind it, as in a mapped file.
class Pages {
 public:
  explicit Pages(size_t size, size_t offset = 0)
      : size_(size),
        offset_(offset),
        memory_(std::aligned_alloc(4096, (size + offset + 4095) / 4096 * 4096)) {}
  std::span<uint8_t> bytes() const { return {static_cast<uint8_t*>(memory_.get()) + offset_, size_}; }

 private:
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  size_t size_, offset_;
  std::unique_ptr<void, Free> memory_;
};

/// A layer of random weights, of more bytes than a kernel sees of a disguised device.
struct Layer {
  Pages pages;
  std::vector<float> row_scales;
  LinearWeights weights;
  uint64_t row_bytes;  // that may not be cut

  WeightBytes held() const { return {pages.bytes(), row_bytes}; }
};

Layer ternary(Random& random, int64_t rows, int64_t cols, ActivationQuantization quantization) {
  const auto r = static_cast<size_t>(rows);
  const auto c = static_cast<size_t>(cols);
  Layer layer{Pages(tile_bytes(r, c)), {}, {}, column_tiles(c) * kTileBytes};
  pack_tiles(random.trits(r * c), r, c, layer.pages.bytes());
  layer.weights = {.rows = rows,
                   .cols = cols,
                   .ternary = {rows, cols, 0.5F, layer.pages.bytes()},
                   .dense = {},
                   .bias = {},
                   .activation_quantization = quantization,
                   .ternary_threshold = 0.5F};
  return layer;
}

Layer dense(Random& random, int64_t rows, int64_t cols, DenseType type) {
  const auto count = static_cast<size_t>(rows * cols);
  const auto row_bytes = static_cast<size_t>(cols) * dense_bytes(type);
  Layer layer{Pages(count * dense_bytes(type)), {}, {}, row_bytes};
  const std::span<uint8_t> bytes = layer.pages.bytes();
  for (size_t i = 0; i < count; ++i) {
    const float value = random.normal();
    const uint16_t half = float_to_f16(value);
    if (type == DenseType::f32) std::memcpy(&bytes[i * 4], &value, 4);
    if (type == DenseType::f16) std::memcpy(&bytes[i * 2], &half, 2);
    if (type == DenseType::q8) bytes[i] = static_cast<uint8_t>(random.integer(0, 255));
  }
  if (type == DenseType::q8) layer.row_scales = random.normals(static_cast<size_t>(rows));
  layer.weights.rows = rows;
  layer.weights.cols = cols;
  layer.weights.dense = {rows, cols, type, bytes.data(), layer.row_scales};
  return layer;
}

/// Outputs [tokens, rows] of each layer, for the same input, behind one another.
std::vector<float> outputs(Backend& backend, const std::vector<const Layer*>& layers, int64_t tokens) {
  const int64_t cols = layers.front()->weights.cols;
  Random random(5);
  const Tensor x = backend.allocate(tokens, cols);
  backend.upload(random.normals(static_cast<size_t>(tokens * cols)), x);
  std::vector<Projection> projections;
  for (const Layer* layer : layers) {
    const int64_t rows = layer->weights.rows;
    projections.push_back({&layer->weights, backend.allocate(tokens, rows), true});
    backend.upload(random.normals(static_cast<size_t>(tokens * rows)), projections.back().y);
  }
  ops::linear(backend, x, {}, projections);
  std::vector<float> all;
  for (const Projection& projection : projections) {
    std::vector<float> y(static_cast<size_t>(projection.y.rows * projection.y.cols));
    backend.download(projection.y, y);
    all.insert(all.end(), y.begin(), y.end());
  }
  return all;
}

/// Sums of some thousand products, each rounded to float32 in another order: the error is far below 1e-5 of
/// the largest. For int8 matrices the CPU rounds inputs to int16, which is up to 1e-4 (backend_check.cpp).
void expect_like_the_cpu(Backend& backend, const std::vector<const Layer*>& layers, int64_t tokens) {
  const auto cpu = make_cpu_backend(1, false);
  const std::vector<float> found = outputs(backend, layers, tokens);
  const std::vector<float> expected = outputs(*cpu, layers, tokens);
  const bool int8 =
      layers.front()->weights.dense.type == DenseType::q8 && !layers.front()->row_scales.empty();
  float largest = 0;
  for (const float v : expected) largest = std::max(largest, std::fabs(v));
  size_t wrong = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    wrong += !(std::fabs(found[i] - expected[i]) <= (int8 ? 1e-4F : 1e-5F) * largest);
  }
  EXPECT_EQ(wrong, 0U) << "of " << expected.size() << ", " << tokens << " tokens";
}

constexpr uint64_t kSeen = uint64_t{1} << 21;  // bytes of a binding

/// Random layers of more than kSeen bytes of weights, the same for all tests.
const std::vector<Layer>& large_layers() {
  static const std::vector<Layer> kLayers = [] {
    Random random;
    std::vector<Layer> layers;
    for (const auto quantization : {ActivationQuantization::int8_absmax, ActivationQuantization::none,
                                    ActivationQuantization::ternary_threshold}) {
      layers.push_back(ternary(random, 1803, 4900, quantization));
    }
    for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
      for (const int64_t cols : {1040, 1044}) {  // whole vectors, and not
        layers.push_back(dense(random, 2203, type == DenseType::f32 ? cols / 4 : cols, type));
      }
    }
    return layers;
  }();
  return kLayers;
}

/// How a device gets at weights, and how its bindings are aligned.
struct Access {
  const char* name;
  bool imports;
  uint64_t alignment;
  DeviceType type;  // which decides between kernels
};
constexpr Access kAccesses[] = {{"Imports", true, 64, DeviceType::cpu},
                                {"Copies", false, 64, DeviceType::cpu},
                                {"DiscreteCopies", false, 512, DeviceType::discrete},
                                {"CopiesByPages", true, 4096, DeviceType::integrated}};

void PrintTo(const Access& access, std::ostream* out) {
  *out << access.name;
}

class GpuWeightsTest : public ::testing::TestWithParam<std::tuple<Driver, Access>> {
 protected:
  test::DisguisedBackend make(uint64_t largest_buffer = uint64_t{1} << 28,
                              uint64_t largest_binding = kSeen) const {
    return disguised_backend(std::get<0>(GetParam()), real_, [=](DeviceInfo& info) {
      const Access& access = std::get<1>(GetParam());
      info.unified_memory = access.imports;
      info.offset_alignment = access.alignment;
      info.largest_binding = largest_binding;
      info.largest_buffer = largest_buffer;
      info.type = access.type;
      info.most_rows = 4;
    });
  }
  std::shared_ptr<Device> real_ = std::get<0>(GetParam()).open(0);
  /// What is imported must be aligned as it lies, in the file.
  static bool imports() {
    return std::get<1>(GetParam()).imports && std::get<1>(GetParam()).alignment <= 256;
  }
};

INSTANTIATE_TEST_SUITE_P(Drivers, GpuWeightsTest,
                         ::testing::Combine(::testing::ValuesIn(drivers().begin(), drivers().end()),
                                            ::testing::ValuesIn(kAccesses)),
                         [](const auto& test) {
                           return std::string(std::get<0>(test.param).name) + std::get<1>(test.param).name;
                         });

TEST_P(GpuWeightsTest, LargeMatricesAreCutIntoBands) {
  std::vector<WeightBytes> weights;
  for (const Layer& layer : large_layers()) weights.push_back(layer.held());
  // What goes into a buffer: any number of matrices, or less than one.
  const uint64_t any = uint64_t{1} << 28;
  const uint64_t less = kSeen * 5 / 8;
  for (const auto& [largest_buffer, held] : {std::pair(any, false), {any, true}, {less, true}}) {
    const auto [device, backend] = make(largest_buffer);
    const auto holder = held ? backend->hold(weights) : nullptr;
    EXPECT_EQ(device->counts().imports > 0, held && imports() && largest_buffer == any);
    const uint64_t written = device->counts().bytes_to;
    for (const Layer& layer : large_layers()) {
      SCOPED_TRACE(testing::Message() << layer.weights.cols << " columns, buffers of " << largest_buffer);
      if (largest_buffer == any) expect_like_the_cpu(*backend, {&layer}, 1);
      if (held) expect_like_the_cpu(*backend, {&layer}, 3);
    }
    EXPECT_EQ(device->counts().bytes_to - written < weights.front().bytes.size(), held);
    EXPECT_EQ(device->counts().part_offsets > 0, largest_buffer == any);
  }
}

TEST_P(GpuWeightsTest, TablesAreCutIntoBands) {
  Random random;
  for (const DenseType type : {DenseType::f32, DenseType::f16, DenseType::q8}) {
    const Layer table = dense(random, 8003, 301, type);
    const std::vector<int32_t> ids = {0, 8002, 1741, 1742, 1743, 2500, 2500, 3484, 6967, 6968};
    for (const bool held : {false, true}) {
      const auto [device, backend] = make();
      const WeightBytes weights = table.held();
      const auto holder = held ? backend->hold({&weights, 1}) : nullptr;
      const auto cpu = make_cpu_backend(1, false);
      std::vector<float> found(ids.size() * 301), expected(ids.size() * 301);
      for (const auto& [on, values] : {std::pair(backend.get(), &found), {cpu.get(), &expected}}) {
        const Tensor y = on->allocate(std::ssize(ids), 301);
        ops::embed(*on, table.weights.dense, ids, y);
        on->download(y, *values);
      }
      EXPECT_EQ(found, expected) << name(type) << (held ? ", held" : "");
    }
  }
}

TEST_P(GpuWeightsTest, MatricesOfOneInputAreOneCommandIfTheyLieTogether) {
  Random random;
  std::vector<Layer> layers;
  std::vector<WeightBytes> weights;
  std::vector<const Layer*> all;
  for (const int64_t rows : {100, 37, 64}) {
    layers.push_back(ternary(random, rows, 200, ActivationQuantization::int8_absmax));
  }
  for (const Layer& layer : layers) {
    weights.push_back(layer.held());
    all.push_back(&layer);
  }
  const auto commands = [&](const std::vector<const Layer*>& wanted, uint64_t buffer, uint64_t binding) {
    const auto [device, backend] = make(buffer, binding);
    const auto holder = backend->hold(weights);
    const uint64_t before = device->statistics().commands;
    expect_like_the_cpu(*backend, wanted, 1);
    return device->statistics().commands - before;
  };
  const uint64_t large = uint64_t{1} << 28;
  const uint64_t one = commands({all[1]}, large, kSeen);
  const uint64_t together = one + 2;  // two more downloads,
  const uint64_t apart = one + 4;     // and products; their input is quantized once
  // What is imported lies where the machine has it: each matrix in pages, and so in a buffer, of its own.
  EXPECT_EQ(commands(all, large, kSeen), imports() ? apart : together);
  EXPECT_EQ(commands({all[2], all[0], all[1], all[0]}, large, kSeen), apart + 2) << "more than three";
}

}  // namespace
}  // namespace rotor::runtime::gpu
