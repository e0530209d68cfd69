// Reading is strict: every key is known, has the right type, and the whole passes ModelConfig::validate.
#include "rotor/formats/config_json.h"

#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor {
namespace {

/// Takes keys out of a JSON object, one by one, and then refuses what is left.
class ObjectReader {
 public:
  ObjectReader(const Json& object, std::string source) : object_(object), source_(std::move(source)) {
    if (!object.is_object()) fail(source_, ": expected an object, found ", object.type_name());
  }

  const Json& at(const std::string& key) {
    seen_.insert(key);
    if (!object_.contains(key)) fail(source_, ": key \"", key, "\" is missing");
    return object_.at(key);
  }
  std::string text(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_string()) wrong_type(key, "a string", value);
    return value.get<std::string>();
  }
  double number(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_number()) wrong_type(key, "a number", value);
    return value.get<double>();
  }
  bool boolean(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_boolean()) wrong_type(key, "true or false", value);
    return value.get<bool>();
  }
  template <class Enum>
  Enum choice(const std::string& key) {
    try {
      return from_name<Enum>(text(key));
    } catch (const Error& e) {
      fail(source_, ": ", key, ": ", e.what());
    }
  }
  std::vector<int64_t> integers(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_array()) wrong_type(key, "an array of integers", value);
    std::vector<int64_t> numbers;
    for (const Json& item : value) {
      if (!item.is_number_integer()) wrong_type(key, "an array of integers", value);
      numbers.push_back(item.get<int64_t>());
    }
    return numbers;
  }
  std::vector<std::string> texts(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_array()) wrong_type(key, "an array of strings", value);
    std::vector<std::string> strings;
    for (const Json& item : value) {
      if (!item.is_string()) wrong_type(key, "an array of strings", value);
      strings.push_back(item.get<std::string>());
    }
    return strings;
  }
  void ignore(const std::string& key) { seen_.insert(key); }
  void refuse_unknown() const {
    for (const auto& [key, value] : object_.items()) {
      if (!seen_.contains(key)) fail(source_, ": unknown key \"", key, "\"");
    }
  }

 private:
  [[noreturn]] void wrong_type(const std::string& key, const char* expected, const Json& found) const {
    fail(source_, ": ", key, ": expected ", expected, ", found ", quote_json(found));
  }

  const Json& object_;
  std::string source_;
  std::set<std::string> seen_;
};

MlpConfig read_mlp(ObjectReader& reader) {
  MlpConfig mlp;
  mlp.layer_sizes = reader.integers("layer_sizes");
  mlp.activation = reader.choice<Activation>("hidden_act");
  mlp.norm = reader.choice<Norm>("norm");
  mlp.norm_eps = reader.number("rms_norm_eps");
  mlp.bias = reader.boolean("use_bias");
  mlp.dropout = reader.number("dropout");
  mlp.sign_threshold = reader.number("sign_threshold");
  mlp.input_mean = reader.number("input_mean");
  mlp.input_std = reader.number("input_std");
  mlp.class_names = reader.texts("class_names");
  return mlp;
}

Json write_mlp(const MlpConfig& mlp) {
  return {{"layer_sizes", mlp.layer_sizes},
          {"hidden_act", name(mlp.activation)},
          {"norm", name(mlp.norm)},
          {"rms_norm_eps", mlp.norm_eps},
          {"use_bias", mlp.bias},
          {"dropout", mlp.dropout},
          {"sign_threshold", mlp.sign_threshold},
          {"input_mean", mlp.input_mean},
          {"input_std", mlp.input_std},
          {"class_names", mlp.class_names}};
}

/// The block by which readers of BitNet checkpoints know that float matrices are ternary masters.
Json online_quantization() {
  return {{"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}, {"quantization_mode", "online"}};
}

}  // namespace

std::string model_config_to_json(const ModelConfig& config, int indent) {
  Json json = write_mlp(config.mlp);
  json["model_type"] = config.model_type;
  json["architectures"] = {"RotorMlp"};
  if (config.quantization == Quantization::ternary) json["quantization_config"] = online_quantization();
  return dump_json(json, indent);
}

ModelConfig model_config_from_json(const std::string& text, const std::string& source) {
  const Json json = parse_json(text, source);
  ObjectReader reader(json, source);
  ModelConfig config;
  config.model_type = reader.text("model_type");
  if (config.model_type != "mlp")
    fail(source, ": model_type: expected \"mlp\", found \"", config.model_type, "\"");
  reader.ignore("architectures");
  config.quantization = Quantization::none;
  if (json.contains("quantization_config")) {
    if (reader.at("quantization_config") != online_quantization()) {
      fail(source, ": quantization_config: expected ", dump_json(online_quantization()), ", found ",
           quote_json(json["quantization_config"]));
    }
    config.quantization = Quantization::ternary;
  }
  config.mlp = read_mlp(reader);
  reader.refuse_unknown();
  try {
    config.validate();
  } catch (const Error& e) {
    fail(source, ": ", e.what());
  }
  return config;
}

}  // namespace rotor
