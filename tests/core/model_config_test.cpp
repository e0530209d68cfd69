// Model descriptions: checks, names, JSON form, tensor table.
#include "rotor/core/model_config.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/json.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;

TEST(ModelConfig, JsonRoundTrip) {
  for (const Activation activation : {Activation::relu, Activation::relu2, Activation::sign}) {
    for (const Quantization quantization : {Quantization::none, Quantization::ternary}) {
      ModelConfig config = test::small_mlp(activation, quantization);
      config.mlp.class_names.assign(10, "a \"name\"");
      const std::string json = model_config_to_json(config);
      const ModelConfig back = model_config_from_json(json, "test");
      EXPECT_EQ(model_config_to_json(back), json);
      EXPECT_EQ(back.activation_quantization(), config.activation_quantization());
      EXPECT_EQ(back.mlp.layer_sizes, config.mlp.layer_sizes);
      EXPECT_EQ(back.mlp.input_std, config.mlp.input_std);
    }
  }
}

TEST(ModelConfig, JsonRefusesWhatItDoesNotKnow) {
  const Json good = parse_json(model_config_to_json(test::small_mlp()), "test");
  const auto with = [&](const char* key, const Json& value) {
    Json json = good;
    json[key] = value;
    return [text = dump_json(json)] { model_config_from_json(text, "config.json"); };
  };
  expect_error(with("surprise", 1), {"config.json", "unknown key \"surprise\""});
  expect_error(with("model_type", "gpt2"), {"model_type", "gpt2"});
  expect_error(with("hidden_act", "gelu"), {"hidden_act", "relu | relu2 | sign", "gelu"});
  expect_error(with("layer_sizes", {784}), {"layer_sizes", "2 to 1024 sizes"});
  expect_error(with("layer_sizes", {784, 0}), {"layer_sizes", "found 0"});
  expect_error(with("layer_sizes", {784, 1LL << 40}), {"layer_sizes", "1099511627776"});
  expect_error(with("layer_sizes", "784"), {"layer_sizes", "an array of integers"});
  expect_error(with("dropout", 1.5), {"dropout", "1.5"});
  expect_error(with("layer_sizes", std::vector<int>(2000, 3)), {"layer_sizes", "2 to 1024 sizes", "2000"});
  expect_error(with("rms_norm_eps", 1e-60), {"norm_eps", "float32"});
  expect_error(with("input_std", 1e-300), {"input_std", "float32"});
  expect_error(with("input_mean", 1e39), {"input_mean", "float32"});
  expect_error(with("use_bias", 1), {"use_bias", "true or false"});
  expect_error(with("input_std", 0), {"input_std", "above 0"});
  expect_error(with("quantization_config", {{"quant_method", "gptq"}}), {"quantization_config", "gptq"});
  expect_error(with("class_names", {"one"}), {"class_names", "one a class"});
  Json missing = good;
  missing.erase("norm");
  expect_error([&] { model_config_from_json(dump_json(missing), "config.json"); }, {"\"norm\" is missing"});
}

TEST(ParseJson, RefusesDuplicateKeysAndTails) {
  expect_error([] { parse_json(R"({"a": 1, "a": 2})", "f"); }, {"f", "duplicate key \"a\""});
  expect_error([] { parse_json(R"({"x": {"b": 1, "c": {"b": 1}, "b": 2}})", "f"); }, {"duplicate key \"b\""});
  expect_error([] { parse_json("{} {}", "f"); }, {"f", "bad JSON"});
  expect_error([] { parse_json("", "f"); }, {"bad JSON"});
  EXPECT_EQ(parse_json(R"([{"a": 1}, {"a": 2}])", "f").size(), 2U);
}

TEST(TensorTable, ListsEveryTensorOfAnMlp) {
  const auto table = tensor_table(test::small_mlp());
  std::vector<std::string> names;
  for (const TensorSpec& spec : table) names.push_back(spec.name);
  EXPECT_EQ(names, (std::vector<std::string>{"layers.0.linear.weight", "layers.0.linear.bias",
                                             "layers.0.norm.weight", "layers.1.linear.weight",
                                             "layers.1.linear.bias", "layers.1.norm.weight",
                                             "layers.2.linear.weight", "layers.2.linear.bias"}));
  EXPECT_EQ(num_parameters(table), 64 * 37 + 37 * 2 + 37 * 18 + 18 * 2 + 18 * 10 + 10);
}

TEST(PixelTable, Normalises) {
  const MlpConfig mlp = test::small_mlp().mlp;
  const auto table = pixel_table(mlp);
  ASSERT_EQ(table.size(), 256U);
  EXPECT_FLOAT_EQ(table[0], static_cast<float>(-0.26 / 0.3));
  EXPECT_FLOAT_EQ(table[255], static_cast<float>(0.74 / 0.3));
}

}  // namespace
}  // namespace rotor
