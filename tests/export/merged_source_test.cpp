// Adapters merged into models: the values that W + s B A rounds to, in every format that can be written.
#include "export/merged_source.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "export/convert.h"
#include "export/merge_report.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/text/open_source.h"
#include "tests/support/adapters.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::exporting {
namespace {

namespace fs = std::filesystem;
using test::expect_error;

void say_nothing(const ExportedTensor&) {}
constexpr auto kAll = {Quantization::ternary, Quantization::none};

std::vector<int8_t> trits_of(const ModelSource& source, const TensorSpec& spec) {
  std::vector<int8_t> trits(static_cast<size_t>(spec.shape[0] * spec.shape[1]));
  source.read_trits(spec, 0, spec.shape[0], trits);
  return trits;
}

/// W + sum of weight * scale * B A, plainly.
std::vector<float> merged(std::vector<float> values, const TensorSpec& spec,
                          const std::vector<MergedAdapter>& adapters) {
  if (!can_adapt(spec)) return values;
  const auto cols = static_cast<size_t>(spec.shape[1]);
  for (const auto& [files, weight] : adapters) {
    const LoraLayer* layer = files->find(module_of(spec));
    if (layer == nullptr) continue;
    const auto a = files->read(*layer->a);
    const auto b = files->read(*layer->b);
    const auto rank = static_cast<size_t>(layer->rank);
    for (size_t i = 0; i < values.size(); ++i) {
      for (size_t k = 0; k < rank; ++k) {
        values[i] += weight * layer->scale * b[i / cols * rank + k] * a[k * cols + i % cols];
      }
    }
  }
  return values;
}

class MergeTest : public ::testing::Test {
 protected:
  /// A random checkpoint, in the form of `kind`: "masters", "packed", "rotor".
  std::unique_ptr<ModelSource> open(const ModelConfig& config, const std::string& kind) const {
    const std::string masters = dir_.file("masters");
    fs::remove_all(masters);
    test::write_random_checkpoint(masters, config);
    if (kind == "masters") return open_source(masters, {}).model;
    const OpenedSource source = open_source(masters, {});
    const std::string path = dir_.file("m." + kind);
    fs::remove_all(path);
    if (kind == "packed") {
      export_hf(*source.model, source.text, path, {}, say_nothing);
    } else {
      export_rotor(*source.model, source.text, path, {.head = DenseType::f32}, say_nothing);
    }
    return open_source(path, {}).model;
  }
  MergedAdapter adapter(const ModelConfig& config, uint64_t seed, float weight = 1.0F) const {
    const std::string directory = dir_.file("adapter-" + std::to_string(seed));
    test::write_random_adapter(directory, config, 3, seed);
    return {std::make_shared<PeftAdapter>(directory), weight};
  }

  test::TempDir dir_;
};

TEST_F(MergeTest, MastersAreRoundedAgain) {
  ModelConfig config = test::small_transformer();
  config.transformer.use_rms_norm = true;
  config.transformer.modules_to_not_convert = {"v_proj", "lm_head"};
  const auto base = open(config, "masters");
  const std::vector<MergedAdapter> adapters = {adapter(config, 1), adapter(config, 2, -0.5F)};
  const MergedSource source(open(config, "masters"), adapters);
  EXPECT_TRUE(source.has_masters());
  for (const TensorSpec& spec : tensor_table(config)) {
    SCOPED_TRACE(spec.name);
    const std::vector<float> expected = merged(base->tensor(spec), spec, adapters);
    const auto found = source.tensor(spec);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(found[i], expected[i], 1e-6 * (1 + std::fabs(expected[i])));
    }
    EXPECT_EQ(found == base->tensor(spec), !can_adapt(spec));
    if (!is_ternary(config, spec)) continue;
    std::vector<int8_t> codes(found.size());
    EXPECT_EQ(source.scale(spec), quantize_absmean(found, codes).scale);
    EXPECT_EQ(trits_of(source, spec), codes);
    // Rows by themselves are those of the whole.
    std::vector<int8_t> part(static_cast<size_t>(5 * spec.shape[1]));
    source.read_trits(spec, 7, 5, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), codes.begin() + 7 * spec.shape[1]));
  }
}

TEST_F(MergeTest, CodesKeepTheMeaningOfTheirScale) {
  const ModelConfig config = test::small_transformer("llama");
  for (const std::string kind : {"packed", "rotor"}) {
    SCOPED_TRACE(kind);
    const auto base = open(config, kind);
    const std::vector<MergedAdapter> adapters = {adapter(config, 1)};
    const MergedSource source(open(config, kind), adapters);
    EXPECT_FALSE(source.has_masters());
    for (const TensorSpec& spec : tensor_table(config)) {
      if (!is_ternary(config, spec)) continue;
      SCOPED_TRACE(spec.name);
      const auto codes = trits_of(*base, spec);
      const float scale = base->scale(spec);
      std::vector<float> values;
      for (const int8_t code : codes) values.push_back(static_cast<float>(code) * scale);
      const std::vector<float> sums = merged(values, spec, adapters);
      const double ratio = mean_abs(sums) / mean_abs(values);
      EXPECT_NEAR(source.scale(spec), static_cast<double>(scale) * ratio, 1e-6 * ratio);
      const auto found = trits_of(source, spec);
      size_t others = 0;
      size_t flipped = 0;
      for (size_t i = 0; i < found.size(); ++i) {
        const float times = sums[i] / source.scale(spec);
        others += found[i] != static_cast<int8_t>(std::clamp(std::nearbyint(times), -1.0F, 1.0F));
        flipped += found[i] != codes[i];
      }
      EXPECT_EQ(others, 0U);
      const auto change = source.change(spec);
      ASSERT_TRUE(change);
      EXPECT_EQ(change->flipped, flipped);
      EXPECT_GT(flipped, 0U);
      EXPECT_EQ(change->weights, found.size());
      EXPECT_EQ(change->scale_before, scale);
      EXPECT_EQ(change->scale_after, source.scale(spec));
    }
  }
}

TEST_F(MergeTest, WhatChangesNothingFlipsNothing) {
  for (const Quantization quantization : kAll) {
    const ModelConfig config = test::small_transformer("bitnet", quantization);
    for (const std::string kind : {"masters", "packed", "rotor"}) {
      if (kind == "packed" && quantization == Quantization::none) continue;
      SCOPED_TRACE(kind);
      const auto base = open(config, kind);
      const MergedSource source(open(config, kind),
                                {adapter(config, 1, 0.0F), adapter(config, 2), adapter(config, 2, -1.0F)});
      const MergedSource zero(open(config, kind), {adapter(config, 1, 0.0F)});
      MergeReport report;
      for (const TensorSpec& spec : tensor_table(config)) {
        SCOPED_TRACE(spec.name);
        report.add(zero, spec.name);
        if (!is_ternary(config, spec)) {
          EXPECT_EQ(zero.tensor(spec), base->tensor(spec));
          continue;
        }
        EXPECT_EQ(zero.scale(spec), base->scale(spec));
        EXPECT_EQ(trits_of(zero, spec), trits_of(*base, spec));
        EXPECT_EQ(zero.change(spec)->flipped, 0U);
        // What is added and taken away again is rounding in the last bits.
        EXPECT_NEAR(source.scale(spec), base->scale(spec), 1e-6);
      }
      const bool ternary = quantization == Quantization::ternary;
      EXPECT_NE(report.text().find(ternary ? " 0.000 % of" : "without rounding"), std::string::npos)
          << report.text();
    }
  }
}

TEST_F(MergeTest, EveryFormatHoldsTheSame) {
  const std::string base = test::golden_path("bitnet-256");
  const ModelConfig config = Checkpoint(base).config();
  const std::vector<MergedAdapter> adapters = {adapter(config, 1, 0.3F)};
  const MergedSource source(open_source(base, {}).model, adapters);
  const text::ModelText text = open_source(base, {}).text;
  export_rotor(source, text, dir_.file("m.rotor"), {.head = DenseType::f32}, say_nothing);
  export_hf(source, text, dir_.file("hf"), {.packed = false, .dtype = {}}, say_nothing);
  export_hf(source, text, dir_.file("packed"), {.packed = true, .dtype = {}}, say_nothing);
  export_gguf(source, text, dir_.file("m.gguf"), {.ternary = GgufType::i2_s}, say_nothing);
  for (const char* name : {"m.rotor", "hf", "packed", "m.gguf"}) {
    SCOPED_TRACE(name);
    const auto written = open_source(dir_.file(name), {}).model;
    for (const TensorSpec& spec : tensor_table(config)) {
      if (!is_ternary(config, spec)) continue;
      EXPECT_EQ(trits_of(*written, spec), trits_of(source, spec)) << spec.name;
      // Masters of codes may give back the neighbour of a scale (core/absmean_masters.h).
      const float most = written->has_masters() ? source.scale(spec) * 0x1p-22F : 0.0F;
      EXPECT_NEAR(written->scale(spec), source.scale(spec), most) << spec.name;
    }
  }
}

// Masters that are written as they are: nobody reads ternary values on the way, and the report does.
TEST_F(MergeTest, TheReportNamesKindsOfLayers) {
  const ModelConfig config = test::small_transformer();
  const MergedSource source(open(config, "masters"), {adapter(config, 1)});
  MergeReport report;
  size_t said = 0;
  for (const TensorSpec& spec : tensor_table(config)) said += report.add(source, spec.name).empty() ? 0 : 1;
  EXPECT_EQ(said, 21U);
  for (const char* part :
       {"merged: ", "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}) {
    EXPECT_NE(report.text().find(part), std::string::npos) << report.text();
  }
  const size_t flipped = source.change(tensor_table(config)[2])->flipped;
  EXPECT_GT(flipped, 0U);
  EXPECT_NE(report.add(source, tensor_table(config)[2].name).find("% flipped, scale "), std::string::npos);
  EXPECT_EQ(report.add(source, "nothing"), "");
}

TEST_F(MergeTest, WhatDoesNotFitOrOverflowsIsAnError) {
  const ModelConfig config = test::small_transformer();
  ModelConfig other = config;
  other.transformer.intermediate_size = 80;
  expect_error([&] { MergedSource(open(config, "masters"), {adapter(other, 1)}); }, {"adapter-1", "masters"});
  const MergedSource source(open(config, "rotor"), {adapter(config, 1, 3e38F)});
  const TensorSpec spec = tensor_table(config)[2];
  expect_error([&] { source.scale(spec); }, {"m.rotor", spec.name, "with its adapters"});
}

}  // namespace
}  // namespace rotor::exporting
