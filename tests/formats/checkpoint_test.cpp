// Checkpoint directories.
#include "rotor/formats/checkpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

TEST(Checkpoint, RoundTrip) {
  const TempDir dir;
  const ModelConfig config = test::small_mlp();
  test::write_random_checkpoint(dir.file("c"), config);
  const Checkpoint checkpoint(dir.file("c"));
  EXPECT_EQ(checkpoint.config().mlp.layer_sizes, config.mlp.layer_sizes);
  EXPECT_EQ(checkpoint.tensor("layers.1.linear.weight").size(), 37U * 18);
}

TEST(Checkpoint, RefusesWhatIsNotOne) {
  const TempDir dir;
  expect_error([&] { Checkpoint{dir.file("none")}; }, {"none", "checkpoint directory"});
  expect_error([&] { Checkpoint{dir.path()}; }, {"config.json", "No such file"});
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  std::filesystem::remove(dir.file("c/model.safetensors"));
  expect_error([&] { Checkpoint{dir.file("c")}; }, {"model.safetensors", "No such file"});
}

TEST(Checkpoint, TensorsMustBeThoseOfTheArchitecture) {
  const TempDir dir;
  ModelConfig other = test::small_mlp();
  test::write_random_checkpoint(dir.file("c"), other);
  test::write_random_checkpoint(dir.file("d"),
                                test::small_mlp(Activation::relu, Quantization::ternary, false));
  const auto swap_config = [&](const char* from, const char* to) {
    std::filesystem::copy_file(dir.file(std::string(from) + "/config.json"),
                               dir.file(std::string(to) + "/config.json"),
                               std::filesystem::copy_options::overwrite_existing);
  };
  const std::string kept = test::read_bytes(dir.file("d/config.json"));
  swap_config("c", "d");
  expect_error([&] { Checkpoint{dir.file("d")}; }, {"layers.0.linear.bias", "missing"});
  test::write_bytes(dir.file("c/config.json"), kept);
  expect_error([&] { Checkpoint{dir.file("c")}; }, {"layers.0.linear.bias", "not part of this model"});
  other.mlp.layer_sizes = {64, 37, 19, 10};
  test::write_random_checkpoint(dir.file("e"), other);
  test::write_random_checkpoint(dir.file("c"), test::small_mlp());
  swap_config("e", "c");
  expect_error([&] { Checkpoint{dir.file("c")}; }, {"layers.1.linear.weight", "[19, 37]", "[18, 37]"});
}

TEST(Checkpoint, OptionsOfTernaryLayersNeedTheirTensors) {
  const TempDir dir;
  const auto golden_with = [&](const std::string& name, const std::string& variant,
                               const std::function<void(Json&)>& change) {
    test::write_golden_transformer(dir.file(name), variant);
    const std::string path = dir.file(name + "/config.json");
    Json json = read_json_file(path);
    change(json["quantization_config"]);
    test::write_bytes(path, dump_json(json));
    return [directory = dir.file(name)] { Checkpoint{directory}; };
  };
  for (const std::string variant : {"bitnet-online", "bitnet-packed", "llama-packed"}) {
    EXPECT_NO_THROW(golden_with("good-" + variant, variant, [](Json&) {})());
  }
  // A norm too few and one too many.
  expect_error(golden_with("a", "packed", [](Json& options) { options["use_rms_norm"] = true; }),
               {"model.layers.0.self_attn.q_proj.rms_norm.weight", "missing"});
  expect_error(golden_with("b", "bitnet-packed", [](Json& options) { options["use_rms_norm"] = false; }),
               {"rms_norm.weight", "not part of this model"});
  // Codes where the config promises a dense matrix, and the reverse.
  expect_error(
      golden_with("c", "packed",
                  [](Json& options) {
                    options["modules_to_not_convert"] = {"lm_head", "model.layers.0.self_attn.q_proj"};
                  }),
      {"model.layers.0.self_attn.q_proj.weight_scale", "not part of this model"});
  expect_error(golden_with("d", "bitnet-packed",
                           [](Json& options) {
                             options["use_rms_norm"] = false;
                             options["modules_to_not_convert"] = Json();
                           }),
               {"model.layers.0.self_attn.k_proj.weight_scale", "missing"});
}

}  // namespace
}  // namespace rotor
