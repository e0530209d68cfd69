// Shapes from the published config.json files, and random planes.
#include "runtime/engine/synthetic_model.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <random>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::runtime {
namespace {

struct Shape {
  const char* name;
  const char* model_type;
  int64_t vocab_size, hidden_size, intermediate_size, layers, heads, key_value_heads;
  bool tied;
};

constexpr std::array kShapes = {
    Shape{"bitnet-2b-4t", "bitnet", 128256, 2560, 6912, 30, 20, 5, true},
    Shape{"bitnet-700m", "bitnet", 32002, 1536, 4096, 24, 16, 16, true},
    Shape{"bitnet-3b", "bitnet", 32002, 3200, 8640, 26, 32, 32, true},
    Shape{"llama3-8b-1.58", "llama", 128256, 4096, 14336, 32, 32, 8, false},
};

/// A tile's planes from random bits: P and not Q, Q and not P, so that a quarter each is +1 and -1; rows and
/// columns that are no whole tiles stay 0.
void fill_tiles(std::vector<uint8_t>& tiles, size_t rows, size_t cols, std::mt19937_64& random) {
  std::fill(tiles.begin(), tiles.end(), uint8_t{0});
  const size_t whole_tiles = cols / kTileColumns;
  for (size_t row_tile = 0; row_tile < row_tiles(rows); ++row_tile) {
    const size_t bytes = std::min(kTileRows, rows - row_tile * kTileRows) * kTileColumns / 8;
    for (size_t tile = 0; tile < whole_tiles; ++tile) {
      uint8_t* planes = tiles.data() + (row_tile * column_tiles(cols) + tile) * kTileBytes;
      for (size_t b = 0; b + 8 <= bytes; b += 8) {
        const uint64_t p = random();
        const uint64_t q = random();
        const uint64_t plus = p & ~q;
        const uint64_t minus = q & ~p;
        std::memcpy(planes + b, &plus, 8);
        std::memcpy(planes + kPlaneBytes + b, &minus, 8);
      }
    }
  }
}

}  // namespace

std::vector<std::string> published_shapes() {
  std::vector<std::string> names;
  for (const Shape& shape : kShapes) names.emplace_back(shape.name);
  return names;
}

ModelConfig published_shape(const std::string& name) {
  std::string names;
  for (const Shape& shape : kShapes) {
    names += cat(names.empty() ? "" : ", ", shape.name);
    if (name != shape.name) continue;
    ModelConfig config;
    config.model_type = shape.model_type;
    TransformerConfig& t = config.transformer;
    t.vocab_size = shape.vocab_size;
    t.hidden_size = shape.hidden_size;
    t.intermediate_size = shape.intermediate_size;
    t.num_hidden_layers = shape.layers;
    t.num_attention_heads = shape.heads;
    t.num_key_value_heads = shape.key_value_heads;
    t.head_dim = shape.hidden_size / shape.heads;
    t.max_position_embeddings = 4096;
    t.tie_word_embeddings = shape.tied;
    if (config.model_type == "llama") t.hidden_act = Activation::silu;
    return config;
  }
  fail("shape: expected one of ", names, ", found \"", name, "\"");
}

void write_synthetic_model(const std::string& path, const ModelConfig& config, DenseFormat dense,
                           const std::function<void(int64_t done, int64_t total)>& on_tensor) {
  std::mt19937_64 random(1);
  RotorWriter writer(path, config, dense);
  const auto table = tensor_table(config);
  int64_t done = 0;
  for (const TensorSpec& spec : table) {
    const auto rows = static_cast<size_t>(spec.shape[0]);
    if (spec.role == TensorRole::linear) {
      const auto cols = static_cast<size_t>(spec.shape[1]);
      std::vector<uint8_t> tiles(tile_bytes(rows, cols));
      fill_tiles(tiles, rows, cols, random);
      writer.write_ternary(spec.name, tiles, 0.02F);
    } else {
      const size_t count = spec.role == TensorRole::vector ? rows : rows * static_cast<size_t>(spec.shape[1]);
      std::vector<float> values(count, 1.0F);
      if (spec.role != TensorRole::vector) {
        for (float& v : values) v = static_cast<float>(random() >> 40) * 0x1p-24F - 0.5F;
      }
      writer.write_floats(spec.name, values);
    }
    on_tensor(++done, static_cast<int64_t>(table.size()));
  }
  writer.commit();
}

}  // namespace rotor::runtime
