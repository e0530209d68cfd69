// Reading is strict: every key is known, has the right type, and the whole passes ModelConfig::validate.
#include "rotor/formats/config_json.h"

#include <algorithm>
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
  bool has(const std::string& key) {
    seen_.insert(key);
    return object_.contains(key) && !object_.at(key).is_null();
  }
  int64_t integer(const std::string& key) {
    const Json& value = at(key);
    if (!value.is_number_integer()) wrong_type(key, "an integer", value);
    return value.get<int64_t>();
  }
  /// The value of `key`, or `fallback` if it is absent or null.
  int64_t integer_or(const std::string& key, int64_t fallback) { return has(key) ? integer(key) : fallback; }
  double number_or(const std::string& key, double fallback) { return has(key) ? number(key) : fallback; }
  bool boolean_or(const std::string& key, bool fallback) { return has(key) ? boolean(key) : fallback; }
  std::string text_or(const std::string& key, const std::string& fallback) {
    return has(key) ? text(key) : fallback;
  }
  /// Refuses `key` unless it is absent, null or `expected`: what Rotor does not compute.
  void require_absent_or(const std::string& key, const Json& expected) {
    if (has(key) && object_.at(key) != expected)
      wrong_type(key, dump_json(expected).c_str(), object_.at(key));
  }
  ObjectReader object(const std::string& key) { return {at(key), source_ + ": " + key}; }
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
  [[noreturn]] void wrong_type(const std::string& key, const char* expected, const Json& found) const {
    fail(source_, ": ", key, ": expected ", expected, ", found ", quote_json(found));
  }
  void refuse_unknown() const {
    for (const auto& [key, value] : object_.items()) {
      if (!seen_.contains(key)) fail(source_, ": unknown key \"", key, "\"");
    }
  }

 private:
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

/// Refuses a qwen2 whose layers attend to a window only. Without use_sliding_window, sliding_window and
/// max_window_layers mean nothing (transformers, configuration_qwen2.py).
void require_full_attention(ObjectReader& reader) {
  reader.require_absent_or("use_sliding_window", false);
  if (!reader.has("layer_types")) return;
  for (const std::string& type : reader.texts("layer_types")) {
    if (type != "full_attention") reader.wrong_type("layer_types", "full_attention", Json(type));
  }
}

TransformerConfig read_transformer(ObjectReader& reader, const std::string& model_type) {
  const bool bitnet = model_type == "bitnet";
  const bool qwen2 = model_type == "qwen2";
  TransformerConfig t;
  t.vocab_size = reader.integer("vocab_size");
  t.hidden_size = reader.integer("hidden_size");
  t.intermediate_size = reader.integer("intermediate_size");
  t.num_hidden_layers = reader.integer("num_hidden_layers");
  t.num_attention_heads = reader.integer("num_attention_heads");
  t.num_key_value_heads = reader.integer_or("num_key_value_heads", t.num_attention_heads);
  t.head_dim = reader.integer_or("head_dim", t.hidden_size / std::max<int64_t>(t.num_attention_heads, 1));
  t.hidden_act = reader.has("hidden_act") ? reader.choice<Activation>("hidden_act")
                                          : (bitnet ? Activation::relu2 : Activation::silu);
  t.max_position_embeddings = reader.integer_or("max_position_embeddings", qwen2 ? 32768 : 2048);
  t.rms_norm_eps = reader.number_or("rms_norm_eps", bitnet ? 1e-5 : 1e-6);
  if (reader.has("rope_parameters")) {  // newer configs
    ObjectReader rope = reader.object("rope_parameters");
    rope.require_absent_or("rope_type", "default");
    t.rope_theta = rope.number("rope_theta");
  } else {
    t.rope_theta = reader.number_or("rope_theta", bitnet ? 500000.0 : 10000.0);
  }
  t.tie_word_embeddings = reader.boolean_or("tie_word_embeddings", false);
  const std::string head = reader.text_or("lm_head", "none");
  if (head != "none" && head != "ternary") reader.wrong_type("lm_head", "none or ternary", Json(head));
  t.ternary_head = head == "ternary";
  t.initializer_range = reader.number_or("initializer_range", t.initializer_range);
  if (reader.has("bos_token_id")) t.bos_token_id = reader.integer("bos_token_id");
  if (reader.has("eos_token_id")) {
    t.eos_token_ids = reader.at("eos_token_id").is_array()
                          ? reader.integers("eos_token_id")
                          : std::vector<int64_t>{reader.integer("eos_token_id")};
  }
  reader.require_absent_or("mlp_bias", false);
  reader.require_absent_or("rope_scaling", Json());
  reader.require_absent_or("partial_rotary_factor", 1.0);
  if (qwen2) {  // its biases are no option
    require_full_attention(reader);
  } else {
    reader.require_absent_or("attention_bias", false);
    reader.require_absent_or("sliding_window", Json());
  }
  return t;
}

Json write_transformer(const TransformerConfig& t) {
  Json json = {{"vocab_size", t.vocab_size},
               {"hidden_size", t.hidden_size},
               {"intermediate_size", t.intermediate_size},
               {"num_hidden_layers", t.num_hidden_layers},
               {"num_attention_heads", t.num_attention_heads},
               {"num_key_value_heads", t.num_key_value_heads},
               {"head_dim", t.head_dim},
               {"hidden_act", name(t.hidden_act)},
               {"max_position_embeddings", t.max_position_embeddings},
               {"rms_norm_eps", t.rms_norm_eps},
               {"rope_theta", t.rope_theta},
               {"tie_word_embeddings", t.tie_word_embeddings},
               {"initializer_range", t.initializer_range},
               {"torch_dtype", "float32"}};
  if (t.ternary_head) json["lm_head"] = "ternary";
  if (t.bos_token_id) json["bos_token_id"] = *t.bos_token_id;
  if (t.eos_token_ids.size() == 1) json["eos_token_id"] = t.eos_token_ids[0];
  if (t.eos_token_ids.size() > 1) json["eos_token_id"] = t.eos_token_ids;
  return json;
}

/// What of a bert is not in config.json, pooling and so on, has its default where it is not there.
BertConfig read_bert(ObjectReader& reader) {
  BertConfig b;
  b.vocab_size = reader.integer("vocab_size");
  b.hidden_size = reader.integer("hidden_size");
  b.num_hidden_layers = reader.integer("num_hidden_layers");
  b.num_attention_heads = reader.integer("num_attention_heads");
  b.intermediate_size = reader.integer("intermediate_size");
  // By name: there are kinds of GELU and of other functions that Activation does not know.
  reader.require_absent_or("hidden_act", "gelu");
  b.max_position_embeddings = reader.integer_or("max_position_embeddings", b.max_position_embeddings);
  b.type_vocab_size = reader.integer_or("type_vocab_size", b.type_vocab_size);
  b.layer_norm_eps = reader.number_or("layer_norm_eps", b.layer_norm_eps);
  if (reader.has("pooling")) b.pooling = reader.choice<Pooling>("pooling");
  b.normalize = reader.boolean_or("normalize", b.normalize);
  b.max_seq_length = reader.integer_or("max_seq_length", b.max_position_embeddings);
  reader.require_absent_or("position_embedding_type", "absolute");
  reader.require_absent_or("is_decoder", false);
  reader.require_absent_or("add_cross_attention", false);
  return b;
}

Json write_bert(const BertConfig& b) {
  return {{"vocab_size", b.vocab_size},
          {"hidden_size", b.hidden_size},
          {"num_hidden_layers", b.num_hidden_layers},
          {"num_attention_heads", b.num_attention_heads},
          {"intermediate_size", b.intermediate_size},
          {"hidden_act", name(b.hidden_act)},
          {"max_position_embeddings", b.max_position_embeddings},
          {"type_vocab_size", b.type_vocab_size},
          {"layer_norm_eps", b.layer_norm_eps},
          {"position_embedding_type", "absolute"},
          {"pooling", name(b.pooling)},
          {"normalize", b.normalize},
          {"max_seq_length", b.max_seq_length}};
}

/// The block by which readers of BitNet checkpoints know that float matrices are ternary masters; options
/// only where they are not transformers' defaults.
Json online_quantization(const TransformerConfig& t = {}) {
  Json json = {
      {"quant_method", "bitnet"}, {"linear_class", "autobitlinear"}, {"quantization_mode", "online"}};
  if (t.use_rms_norm) {
    json["use_rms_norm"] = true;
    json["rms_norm_eps"] = t.linear_norm_eps;
  }
  if (t.modules_to_not_convert) json["modules_to_not_convert"] = *t.modules_to_not_convert;
  return json;
}

/// Which layers are ternary, and their norms (transformers, BitNetQuantConfig).
void read_linear_options(ObjectReader& reader, TransformerConfig& t) {
  t.use_rms_norm = reader.boolean_or("use_rms_norm", false);
  const double eps = reader.number_or("rms_norm_eps", t.linear_norm_eps);
  if (t.use_rms_norm) t.linear_norm_eps = eps;
  if (!reader.has("modules_to_not_convert")) return;
  const auto names = reader.texts("modules_to_not_convert");
  if (names == std::vector<std::string>{"lm_head"}) return;  // the default, spelt out
  t.modules_to_not_convert = names;
}

StoredQuantization read_quantization(ObjectReader reader, ModelConfig& config) {
  const auto choose = [&](const std::string& key, const std::string& value, const std::string& first,
                          const std::string& second) {
    if (value != first && value != second) {
      reader.wrong_type(key, cat(first, " or ", second).c_str(), Json(value));
    }
    return value == second;
  };
  choose("quant_method", reader.text("quant_method"), "bitnet", "bitnet");
  StoredQuantization stored;
  stored.packed =
      choose("quantization_mode", reader.text_or("quantization_mode", "offline"), "online", "offline");
  stored.scale_divides =
      choose("linear_class", reader.text_or("linear_class", "bitlinear"), "autobitlinear", "bitlinear");
  if (config.is_transformer()) read_linear_options(reader, config.transformer);
  reader.refuse_unknown();
  return stored;
}

std::string architecture_name(const ModelConfig& config) {
  if (config.model_type == "bitnet") return "BitNetForCausalLM";
  if (config.model_type == "qwen2") return "Qwen2ForCausalLM";
  if (config.is_encoder()) return "BertModel";
  return config.model_type == "llama" ? "LlamaForCausalLM" : "RotorMlp";
}

}  // namespace

std::string model_config_to_json(const ModelConfig& config, int indent) {
  Json json = config.is_transformer() ? write_transformer(config.transformer)
              : config.is_encoder()   ? write_bert(config.bert)
                                      : write_mlp(config.mlp);
  json["model_type"] = config.model_type;
  json["architectures"] = {architecture_name(config)};
  if (config.quantization == Quantization::ternary) {
    json["quantization_config"] = online_quantization(config.transformer);
  }
  return dump_json(json, indent);
}

ModelConfig model_config_from_json(const std::string& text, const std::string& source,
                                   StoredQuantization* stored) {
  const Json json = parse_json(text, source);
  ObjectReader reader(json, source);
  ModelConfig config;
  config.model_type = reader.text("model_type");
  if (config.model_type != "mlp" && !config.is_transformer() && !config.is_encoder()) {
    fail(source, ": model_type: expected \"bitnet\", \"llama\", \"qwen2\", \"bert\" or \"mlp\", found ",
         quote_json(Json(config.model_type)));
  }
  config.quantization = Quantization::none;
  if (config.is_transformer()) {
    config.transformer = read_transformer(reader, config.model_type);
  } else if (config.is_encoder()) {
    config.bert = read_bert(reader);
  } else {
    reader.ignore("architectures");
    config.mlp = read_mlp(reader);
  }
  if (config.is_encoder()) reader.require_absent_or("quantization_config", Json());
  if (reader.has("quantization_config")) {
    const StoredQuantization found = read_quantization(reader.object("quantization_config"), config);
    if ((stored == nullptr || !config.is_transformer()) && (found.packed || found.scale_divides)) {
      fail(source, ": quantization_config: expected ", dump_json(online_quantization()), ", found ",
           quote_json(json["quantization_config"]));
    }
    if (stored != nullptr) *stored = found;
    config.quantization = Quantization::ternary;
  }
  if (config.model_type == "mlp") reader.refuse_unknown();
  try {
    TransformerConfig& t = config.transformer;
    // transformers leaves the head dense by default, but not where a list says what is left dense.
    if (t.modules_to_not_convert && !t.tie_word_embeddings && !t.is_kept_dense("lm_head"))
      t.ternary_head = true;
    config.validate();
  } catch (const Error& e) {
    fail(source, ": ", e.what());
  }
  return config;
}

}  // namespace rotor
