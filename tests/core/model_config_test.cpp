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
  expect_error(with("hidden_act", "gelu_new"), {"hidden_act", "relu | relu2 | sign", "gelu"});
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

TEST(ModelConfig, OnlyEncodersTakeGelu) {
  for (const char* type : {"mlp", "bitnet", "llama", "qwen2"}) {
    SCOPED_TRACE(type);
    const bool is_mlp = std::string(type) == "mlp";
    Json json =
        parse_json(model_config_to_json(is_mlp ? test::small_mlp() : test::small_transformer(type)), "test");
    json["hidden_act"] = "gelu";
    expect_error(
        [&] { model_config_from_json(dump_json(json), "config.json"); },
        {"config.json", "hidden_act", is_mlp ? "relu, relu2 or sign" : "relu2, silu or relu", "found gelu"});
  }
  const Json encoder = {{"model_type", "bert"},          {"vocab_size", 64},       {"hidden_size", 64},
                        {"intermediate_size", 64},       {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                        {"max_position_embeddings", 32}, {"type_vocab_size", 2},   {"hidden_act", "gelu"}};
  EXPECT_EQ(model_config_from_json(dump_json(encoder), "config.json").bert.hidden_act, Activation::gelu);
}

/// The options of ternary layers in a config.json.
Json quantization_config(const ModelConfig& config) {
  return parse_json(model_config_to_json(config), "test")["quantization_config"];
}

TEST(ModelConfig, OptionsOfTernaryLayersRoundTrip) {
  for (const auto& [name, config] : test::transformer_kinds()) {
    SCOPED_TRACE(name);
    const std::string json = model_config_to_json(config);
    const ModelConfig back = model_config_from_json(json, "test");
    EXPECT_EQ(model_config_to_json(back), json);
    EXPECT_EQ(back.transformer.use_rms_norm, config.transformer.use_rms_norm);
    EXPECT_EQ(back.transformer.linear_norm_eps, config.transformer.linear_norm_eps);
    EXPECT_EQ(back.transformer.modules_to_not_convert, config.transformer.modules_to_not_convert);
    EXPECT_EQ(back.transformer.ternary_head, config.transformer.ternary_head);
  }
  const std::vector<std::string> plain = {"linear_class", "quant_method", "quantization_mode"};
  std::vector<std::string> keys;
  const Json written = quantization_config(test::small_transformer());
  for (const auto& [key, value] : written.items()) keys.push_back(key);
  EXPECT_EQ(keys, plain) << "files of models without options stay as they were";
}

TEST(ModelConfig, ReadsOptionsAsTransformersWritesThem) {
  const auto read = [](const std::string& model_type, const Json& options) {
    Json json = parse_json(model_config_to_json(test::small_transformer(model_type)), "test");
    json["quantization_config"].update(options);
    return model_config_from_json(dump_json(json), "config.json").transformer;
  };
  // What transformers writes for a model without them.
  const Json defaults = {
      {"use_rms_norm", false}, {"rms_norm_eps", 1e-06}, {"modules_to_not_convert", Json()}};
  EXPECT_FALSE(read("bitnet", defaults).use_rms_norm);
  EXPECT_FALSE(read("bitnet", defaults).modules_to_not_convert.has_value());
  EXPECT_EQ(read("bitnet", {{"use_rms_norm", true}}).linear_norm_eps, 1e-6);
  EXPECT_EQ(read("bitnet", {{"use_rms_norm", true}, {"rms_norm_eps", 1e-4}}).linear_norm_eps, 1e-4);
  EXPECT_EQ(read("bitnet", {{"rms_norm_eps", 1e-4}}).linear_norm_eps, 1e-6) << "no norm has it";
  // The default spelt out, and lists that leave the head out.
  const auto list = [](std::vector<std::string> names) { return Json{{"modules_to_not_convert", names}}; };
  EXPECT_FALSE(read("llama", list({"lm_head"})).modules_to_not_convert.has_value());
  EXPECT_FALSE(read("llama", list({"lm_head"})).ternary_head);
  EXPECT_TRUE(read("llama", list({})).ternary_head);
  EXPECT_TRUE(read("llama", list({"v_proj"})).ternary_head);
  EXPECT_FALSE(read("llama", list({"v_proj", "lm_head"})).ternary_head);
  expect_error([&] { read("bitnet", list({"v_proj"})); },
               {"config.json", "modules_to_not_convert", "\"lm_head\" among the names"});
  EXPECT_EQ(read("bitnet", list({"model.embed_tokens", "lm_head"})).modules_to_not_convert->size(), 2U);
}

TEST(ModelConfig, ReadsQwen2AsTransformersDoes) {
  const Json required = {{"model_type", "qwen2"},   {"vocab_size", 64},       {"hidden_size", 64},
                         {"intermediate_size", 64}, {"num_hidden_layers", 2}, {"num_attention_heads", 4},
                         {"num_key_value_heads", 2}};
  const auto read = [&](const Json& keys) {
    Json json = required;
    json.update(keys);
    return model_config_from_json(dump_json(json), "config.json");
  };
  const ModelConfig config = read(Json::object());
  EXPECT_EQ(config.quantization, Quantization::none);
  const TransformerConfig& t = config.transformer;
  EXPECT_EQ(t.head_dim, 16);
  EXPECT_EQ(t.hidden_act, Activation::silu);
  EXPECT_EQ(t.max_position_embeddings, 32768);
  EXPECT_EQ(t.rms_norm_eps, 1e-6);
  EXPECT_EQ(t.rope_theta, 10000.0);
  EXPECT_FALSE(t.tie_word_embeddings);
  EXPECT_EQ(parse_json(model_config_to_json(config), "test")["architectures"], Json({"Qwen2ForCausalLM"}));
  // As the published files have it: a window that is not used.
  EXPECT_NO_THROW(
      read({{"use_sliding_window", false}, {"sliding_window", 131072}, {"max_window_layers", 1}}));
  EXPECT_NO_THROW(read({{"layer_types", {"full_attention", "full_attention"}}, {"attention_bias", true}}));
  expect_error([&] { read({{"use_sliding_window", true}}); }, {"config.json", "use_sliding_window", "true"});
  expect_error(
      [&] {
        read({{"layer_types", {"full_attention", "sliding_attention"}}});
      },
      {"config.json", "layer_types", "full_attention", "sliding_attention"});
  expect_error([&] { read({{"rope_scaling", {{"type", "yarn"}}}}); }, {"rope_scaling", "yarn"});
  for (const char* key : {"attention_bias", "sliding_window"}) {  // of a llama both mean something
    expect_error([&] { read({{"model_type", "llama"}, {key, true}}); }, {"config.json", key});
  }
}

TEST(ModelConfig, BiasesOfQwen2BelongToQueriesKeysAndValues) {
  const ModelConfig config = test::small_transformer("qwen2");
  std::vector<std::string> biases;
  for (const TensorSpec& spec : tensor_table(config)) {
    if (!spec.name.ends_with(".bias")) continue;
    biases.push_back(spec.name);
    EXPECT_EQ(spec.role, TensorRole::vector);
    const auto weight = ternary_of_bias(config, spec.name);
    ASSERT_TRUE(weight) << spec.name;
    EXPECT_EQ(weight->shape[0], spec.shape[0]);
    EXPECT_FALSE(ternary_of_bias(test::small_transformer("qwen2", Quantization::none), spec.name));
  }
  ASSERT_EQ(biases.size(), 9U);
  EXPECT_EQ(biases[0], "model.layers.0.self_attn.q_proj.bias");
  EXPECT_EQ(biases[1], "model.layers.0.self_attn.k_proj.bias");
  EXPECT_EQ(biases[2], "model.layers.0.self_attn.v_proj.bias");
  EXPECT_FALSE(ternary_of_bias(config, "model.norm.weight"));
}

TEST(ModelConfig, OptionsThatMakeNoSenseAreRefused) {
  const auto with = [](const auto& change) {
    ModelConfig config = test::small_transformer();
    change(config, config.transformer);
    return [config] { config.validate(); };
  };
  using Names = std::vector<std::string>;
  const auto names = [&](const Names& list) {
    return with([&](ModelConfig&, TransformerConfig& t) { t.modules_to_not_convert = list; });
  };
  EXPECT_NO_THROW(names({"lm_head", "k_proj"})());
  expect_error(names({"lm_head", "k_porj"}), {"modules_to_not_convert", "\"k_porj\", which is none"});
  expect_error(names({"lm_head", "self_attn"}), {"modules_to_not_convert", "\"self_attn\", which is none"});
  expect_error(names({"lm_head", "k_proj$"}), {"modules_to_not_convert", "a module's name", "k_proj$"});
  expect_error(names({"lm_head", "model.layers"}), {"modules_to_not_convert", "at least one linear layer"});
  expect_error(names({}), {"modules_to_not_convert", "\"lm_head\" among the names"});
  expect_error(names(Names(9000, "k_proj")), {"modules_to_not_convert", "8192", "9000"});
  const auto make_float = [](ModelConfig& config) { config.quantization = Quantization::none; };
  expect_error(with([&](ModelConfig& config, TransformerConfig& t) {
                 make_float(config);
                 t.modules_to_not_convert = Names{"lm_head", "k_proj"};
               }),
               {"modules_to_not_convert", "not ternary"});
  expect_error(with([&](ModelConfig& config, TransformerConfig& t) {
                 make_float(config);
                 t.use_rms_norm = true;
               }),
               {"use_rms_norm", "not ternary"});
  expect_error(with([](ModelConfig&, TransformerConfig& t) {
                 t.use_rms_norm = true;
                 t.linear_norm_eps = 0.0;
               }),
               {"rms_norm_eps of use_rms_norm", "float32"});
  expect_error(with([](ModelConfig&, TransformerConfig& t) {
                 t.tie_word_embeddings = false;
                 t.ternary_head = true;
                 t.modules_to_not_convert = Names{"lm_head"};
               }),
               {"modules_to_not_convert", "no \"lm_head\""});
  Json mlp = parse_json(model_config_to_json(test::small_mlp()), "test");
  mlp["quantization_config"]["use_rms_norm"] = true;
  expect_error([&] { model_config_from_json(dump_json(mlp), "config.json"); },
               {"quantization_config", "use_rms_norm"});
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

TEST(TensorTable, OptionsOfTernaryLayersAddNormsAndKeepMatricesDense) {
  const ModelConfig config = test::transformer_kinds().back().config;  // llama_options
  std::vector<std::string> normed;
  std::vector<std::string> dense;
  for (const TensorSpec& spec : tensor_table(config)) {
    const std::string norm = ".rms_norm.weight";
    if (spec.name.ends_with(norm)) {
      EXPECT_EQ(spec.role, TensorRole::vector);
      normed.push_back(spec.name.substr(0, spec.name.size() - norm.size()));
    }
    if (spec.role == TensorRole::dense) dense.push_back(spec.name);
    if (is_ternary(config, spec)) {  // each behind its norm, [in]
      ASSERT_FALSE(normed.empty());
      EXPECT_EQ(normed.back() + ".weight", spec.name);
    }
  }
  EXPECT_EQ(normed.size(), 3U * 7 - 3 - 3 - 1 + 1) << "all but three v, a whole mlp and a gate; and the head";
  EXPECT_EQ(dense, (std::vector<std::string>{
                       "model.layers.0.self_attn.v_proj.weight", "model.layers.1.self_attn.v_proj.weight",
                       "model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.up_proj.weight",
                       "model.layers.1.mlp.down_proj.weight", "model.layers.2.self_attn.v_proj.weight",
                       "model.layers.2.mlp.gate_proj.weight"}));
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
