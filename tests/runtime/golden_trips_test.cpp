// Golden checkpoints through every format and back: what runs in the end still says what transformers says.
#include <gtest/gtest.h>

#include <memory>

#include "export/convert.h"
#include "runtime/engine/session.h"
#include "tests/support/golden.h"
#include "tests/support/logits.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

using text::open_source;
using text::OpenedSource;

void ignore(const exporting::ExportedTensor&) {}

/// What stands between the checkpoint and the .rotor file that runs.
struct Trip {
  const char* name;
  std::string (*take)(const OpenedSource& source, const std::string& path);  // returns what it wrote
};

std::string nowhere(const OpenedSource& source, const std::string&) {
  return source.model->path();
}
std::string hf(const OpenedSource& source, const std::string& path, bool packed) {
  exporting::export_hf(*source.model, source.text, path, {.packed = packed, .dtype = {}}, ignore);
  return path;
}
std::string to_masters(const OpenedSource& source, const std::string& path) {
  return hf(source, path + "-hf", false);
}
std::string to_packed(const OpenedSource& source, const std::string& path) {
  return hf(source, path + "-packed", true);
}
std::string through_rotor_to_masters(const OpenedSource& source, const std::string& path) {
  const std::string rotor = path + ".through.rotor";
  exporting::export_rotor(*source.model, source.text, rotor, {.head = DenseType::f32}, ignore);
  return to_masters(open_source(rotor, {}), path);
}
std::string gguf(const OpenedSource& source, const std::string& path, GgufType type,
                 I2sOrder order = I2sOrder::x86) {
  exporting::export_gguf(*source.model, source.text, path + ".gguf", {.ternary = type, .i2s_order = order},
                         ignore);
  return path + ".gguf";
}
std::string to_i2s(const OpenedSource& source, const std::string& path) {
  return gguf(source, path, GgufType::i2_s);
}
std::string to_tq1(const OpenedSource& source, const std::string& path) {
  return gguf(source, path, GgufType::tq1_0);
}
std::string to_tq2(const OpenedSource& source, const std::string& path) {
  return gguf(source, path, GgufType::tq2_0);
}

constexpr Trip kAnyWidth[] = {{"straight", nowhere},
                              {"hf", to_masters},
                              {"hf_packed", to_packed},
                              {"rotor_hf", through_rotor_to_masters},
                              {"i2s", to_i2s}};
constexpr Trip kWidth256[] = {
    {"straight", nowhere}, {"hf", to_masters}, {"rotor_hf", through_rotor_to_masters},
    {"i2s", to_i2s},       {"tq1", to_tq1},    {"tq2", to_tq2}};

/// A .rotor file made of the checkpoint `directory` by way of a trip.
std::string travelled(const test::TempDir& dir, const std::string& directory, const Trip& trip,
                      const text::SourceOptions& options = {}) {
  const OpenedSource source = open_source(directory, options);
  const OpenedSource back = open_source(trip.take(source, dir.file(trip.name)), {});
  const std::string path = dir.file(std::string(trip.name) + ".rotor");
  exporting::export_rotor(*back.model, back.text, path, {.head = DenseType::f32}, ignore);
  return path;
}

/// `prefix`: what stands before "logits.K" and "greedy.K" in the golden file.
void expect_golden(const std::string& path, const SafetensorsFile& golden, const std::string& prefix) {
  const RotorFile file(path);
  const auto backend = make_backend();
  const Transformer model(file);
  for (const std::string k : {"0", "1", "2"}) {
    SCOPED_TRACE("prompt " + k);
    const auto prompt = test::golden_ids(golden, "prompt." + k + ".ids");
    Session session(model, *backend, {.kv = KvType::f32});
    const auto logits = golden.read<float>(prefix + "logits." + k);
    EXPECT_LT(test::largest_difference(test::all_logits(session, prompt), logits), test::kGoldenTolerance);
    Session fresh(model, *backend, {.kv = KvType::f32});
    const auto ids = test::golden_ids(golden, prefix + "greedy." + k);
    EXPECT_EQ(test::greedy(fresh, prompt, ids.size()), ids);
  }
}

TEST(GoldenTrips, BitnetAndLlama) {
  for (const std::string& variant : test::golden_transformers()) {
    if (variant.starts_with("qwen2")) continue;  // which are below
    const auto golden = test::golden_transformer_outputs(variant);
    const test::TempDir dir;
    test::write_golden_transformer(dir.file("checkpoint"), variant);
    for (const Trip& trip : kAnyWidth) {
      SCOPED_TRACE(variant + " by way of " + trip.name);
      const bool has_options = variant != "packed" && variant != "online";  // which GGUF cannot hold
      if (has_options && trip.take == to_i2s) continue;
      expect_golden(travelled(dir, dir.file("checkpoint"), trip), golden, variant + ".f32.");
    }
  }
}

TEST(GoldenTrips, Bitnet256) {
  const auto golden = test::open_golden("bitnet-256/expected.safetensors");
  const test::TempDir dir;
  for (const Trip& trip : kWidth256) {
    SCOPED_TRACE(trip.name);
    expect_golden(travelled(dir, test::golden_path("bitnet-256"), trip), golden, "");
  }
}

TEST(GoldenTrips, Qwen2) {
  const Trip float_trips[] = {
      {"straight", nowhere}, {"hf", to_masters}, {"rotor_hf", through_rotor_to_masters}};
  const Trip narrow_trips[] = {{"straight", nowhere},
                               {"hf", to_masters},
                               {"hf_packed", to_packed},
                               {"rotor_hf", through_rotor_to_masters}};
  const Trip wide_trips[] = {{"straight", nowhere},    {"hf", to_masters},
                             {"hf_packed", to_packed}, {"rotor_hf", through_rotor_to_masters},
                             {"i2s", to_i2s},          {"tq1", to_tq1},
                             {"tq2", to_tq2}};
  // Of scales that divide, the inverse is no float16: none of GGUF's TQ types.
  const std::pair<std::string, std::span<const Trip>> variants[] = {
      {"float-tied", float_trips},
      {"float-untied", float_trips},
      {"online", narrow_trips},
      {"packed", wide_trips},
      {"packed-bitlinear", std::span(wide_trips).first(5)}};
  for (const auto& [variant, trips] : variants) {
    for (const Trip& trip : trips) {
      SCOPED_TRACE(variant + " by way of " + trip.name);
      const test::TempDir dir;
      test::write_golden_transformer(dir.file("checkpoint"), "qwen2-" + variant);
      expect_golden(travelled(dir, dir.file("checkpoint"), trip),
                    test::golden_transformer_outputs("qwen2-" + variant), "qwen2-" + variant + ".f32.");
    }
  }
}

// The same weights without quantization_config, ternarized here, say what transformers makes of them with it.
TEST(GoldenTrips, TernarizedQwen2) {
  const auto golden = test::golden_transformer_outputs("qwen2-online");
  for (const Trip& trip :
       {Trip{"hf", to_masters}, Trip{"hf_packed", to_packed}, Trip{"rotor_hf", through_rotor_to_masters}}) {
    SCOPED_TRACE(trip.name);
    const test::TempDir dir;
    test::write_golden_transformer(dir.file("checkpoint"), "qwen2-float-untied");
    expect_golden(travelled(dir, dir.file("checkpoint"), trip, {.gguf = {}, .ternarize = true}), golden,
                  "qwen2-online.f32.");
  }
}

}  // namespace
}  // namespace rotor::runtime
