// Checks of a model description, and the names of its enums.
#include "rotor/core/model_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/module_pattern.h"
#include "rotor/core/tensor_table.h"

namespace rotor {
namespace {

template <class Enum>
struct Names;

template <>
struct Names<Quantization> {
  static constexpr std::array entries = {std::pair{Quantization::none, "none"},
                                         std::pair{Quantization::ternary, "ternary"}};
};
template <>
struct Names<Activation> {
  static constexpr std::array entries = {
      std::pair{Activation::relu, "relu"}, std::pair{Activation::relu2, "relu2"},
      std::pair{Activation::sign, "sign"}, std::pair{Activation::silu, "silu"},
      std::pair{Activation::gelu, "gelu"}};
};
template <>
struct Names<Norm> {
  static constexpr std::array entries = {std::pair{Norm::none, "none"}, std::pair{Norm::rms, "rms"}};
};
template <>
struct Names<Pooling> {
  static constexpr std::array entries = {std::pair{Pooling::mean, "mean"}, std::pair{Pooling::cls, "cls"}};
};
template <>
struct Names<ActivationQuantization> {
  static constexpr std::array entries = {
      std::pair{ActivationQuantization::none, "none"},
      std::pair{ActivationQuantization::int8_absmax, "int8_absmax_per_token"},
      std::pair{ActivationQuantization::ternary_threshold, "ternary_threshold"}};
};

template <class Enum>
const char* find_name(Enum value) {
  for (const auto& [entry, text] : Names<Enum>::entries) {
    if (entry == value) return text;
  }
  return "?";
}

void require(bool ok, const char* field, const char* expected, const auto& found) {
  if (!ok) fail(field, ": expected ", expected, ", found ", found);
}

constexpr int64_t kMaxLayerSize = int64_t{1} << 23;  // int32 sums of int8 stay exact: 128 * 2^23 < 2^31

constexpr size_t kMaxLayerSizes = 1024;

/// Whether the number keeps its meaning as a float32, which is what networks compute with.
bool is_float(double value) {
  return std::isfinite(static_cast<float>(value));
}
bool is_positive_float(double value) {
  return is_float(value) && static_cast<float>(value) >= std::numeric_limits<float>::min();
}

void validate_mlp(const MlpConfig& mlp) {
  require(mlp.activation != Activation::silu && mlp.activation != Activation::gelu, "hidden_act",
          "relu, relu2 or sign", name(mlp.activation));
  require(mlp.layer_sizes.size() >= 2 && mlp.layer_sizes.size() <= kMaxLayerSizes, "layer_sizes",
          "2 to 1024 sizes", mlp.layer_sizes.size());
  for (const int64_t size : mlp.layer_sizes) {
    require(size >= 1 && size <= kMaxLayerSize, "layer_sizes", "sizes from 1 to 8388608", size);
  }
  require(is_positive_float(mlp.norm_eps) && mlp.norm_eps < 1, "norm_eps", "a float32 between 0 and 1",
          mlp.norm_eps);
  require(mlp.dropout >= 0 && mlp.dropout < 1, "dropout", "a number from 0 to below 1", mlp.dropout);
  require(mlp.sign_threshold >= 0 && is_float(mlp.sign_threshold), "sign_threshold", "a number of at least 0",
          mlp.sign_threshold);
  require(is_float(mlp.input_mean), "input_mean", "a finite float32", mlp.input_mean);
  require(is_positive_float(mlp.input_std), "input_std", "a float32 above 0", mlp.input_std);
  for (const int pixel : {0, 255}) {
    const double input = (pixel / 255.0 - mlp.input_mean) / mlp.input_std;
    require(is_float(input), "input_mean and input_std", "inputs that a float32 can hold", input);
  }
  require(mlp.class_names.empty() || std::cmp_equal(mlp.class_names.size(), mlp.num_classes()), "class_names",
          "no name or one a class", mlp.class_names.size());
}

void require_between(int64_t value, int64_t low, int64_t high, const char* field) {
  if (value < low || value > high) fail(field, ": expected ", low, " to ", high, ", found ", value);
}

constexpr size_t kMaxModuleNames = 8192;  // all linear layers of the deepest model have a place

/// The names say which layers are not ternary: one that means nothing is a layer more than was meant.
void validate_modules_to_not_convert(const ModelConfig& config) {
  const TransformerConfig& t = config.transformer;
  const auto& names = *t.modules_to_not_convert;
  const char* field = "modules_to_not_convert";
  require(config.quantization == Quantization::ternary, field, "none in a model that is not ternary",
          cat(names.size(), " names"));
  require(names.size() <= kMaxModuleNames, field, "at most 8192 names", names.size());
  // The embedding and norms may be named: they are modules, if no linear ones.
  std::vector<std::string> modules = {"lm_head"};
  bool any_ternary = false;
  for (const TensorSpec& spec : tensor_table(config)) {
    modules.push_back(spec.name.substr(0, spec.name.rfind('.')));
    any_ternary = any_ternary || is_ternary(config, spec);
  }
  for (const std::string& pattern : names) {
    const auto is_meant = [&](const std::string& module) { return matches_module(pattern, module); };
    require(std::ranges::any_of(modules, is_meant), field,
            "the start of a module's dotted name, up to a dot, or its end",
            cat('"', pattern, "\", which is none"));
  }
  require(any_ternary, field, "at least one linear layer left out", "none in a ternary model");
  require(t.is_kept_dense("lm_head") != t.ternary_head, field,
          t.ternary_head
              ? "no \"lm_head\", which is ternary here"
              : "\"lm_head\" among the names (transformers makes a head ternary that a list leaves out)",
          t.ternary_head ? "it" : "none that means it");
}

void validate_transformer(const ModelConfig& config) {
  const TransformerConfig& t = config.transformer;
  require_between(t.vocab_size, 1, int64_t{1} << 24, "vocab_size");
  require_between(t.hidden_size, 1, kMaxLayerSize, "hidden_size");
  require_between(t.intermediate_size, 1, kMaxLayerSize, "intermediate_size");
  require_between(t.num_hidden_layers, 1, 1024, "num_hidden_layers");
  require_between(t.num_attention_heads, 1, 65536, "num_attention_heads");
  require_between(t.num_key_value_heads, 1, t.num_attention_heads, "num_key_value_heads");
  require(t.num_attention_heads % t.num_key_value_heads == 0, "num_key_value_heads",
          "a divisor of num_attention_heads", t.num_key_value_heads);
  require_between(t.head_dim, 2, 65536, "head_dim");
  require(t.head_dim % 2 == 0, "head_dim", "an even number", t.head_dim);
  require(t.query_size() <= kMaxLayerSize, "num_attention_heads * head_dim", "at most 8388608",
          t.query_size());
  require(t.hidden_act != Activation::sign && t.hidden_act != Activation::gelu, "hidden_act",
          "relu2, silu or relu", name(t.hidden_act));
  require_between(t.max_position_embeddings, 1, int64_t{1} << 24, "max_position_embeddings");
  require(is_positive_float(t.rms_norm_eps) && t.rms_norm_eps < 1, "rms_norm_eps",
          "a float32 between 0 and 1", t.rms_norm_eps);
  require(t.rope_theta >= 1 && is_float(t.rope_theta), "rope_theta", "a number of at least 1", t.rope_theta);
  require(t.initializer_range > 0 && is_float(t.initializer_range), "initializer_range", "a number above 0",
          t.initializer_range);
  const bool ternary = config.quantization == Quantization::ternary;
  require(!t.ternary_head || (!t.tie_word_embeddings && ternary), "lm_head",
          "ternary only in a ternary model with tie_word_embeddings: false", "ternary");
  require(!t.use_rms_norm || ternary, "use_rms_norm", "false in a model that is not ternary", "true");
  require(is_positive_float(t.linear_norm_eps) && t.linear_norm_eps < 1, "rms_norm_eps of use_rms_norm",
          "a float32 between 0 and 1", t.linear_norm_eps);
  if (t.modules_to_not_convert) validate_modules_to_not_convert(config);
  if (t.bos_token_id) require_between(*t.bos_token_id, 0, t.vocab_size - 1, "bos_token_id");
  for (const int64_t id : t.eos_token_ids) require_between(id, 0, t.vocab_size - 1, "eos_token_id");
}

void validate_bert(const ModelConfig& config) {
  const BertConfig& b = config.bert;
  require(config.quantization == Quantization::none, "quantization", "none for model_type bert",
          name(config.quantization));
  require_between(b.vocab_size, 1, int64_t{1} << 24, "vocab_size");
  require_between(b.hidden_size, 1, kMaxLayerSize, "hidden_size");
  require_between(b.intermediate_size, 1, kMaxLayerSize, "intermediate_size");
  require_between(b.num_hidden_layers, 1, 1024, "num_hidden_layers");
  require_between(b.num_attention_heads, 1, 65536, "num_attention_heads");
  require(b.hidden_size % b.num_attention_heads == 0, "num_attention_heads", "a divisor of hidden_size",
          b.num_attention_heads);
  require(b.hidden_act == Activation::gelu, "hidden_act", "gelu", name(b.hidden_act));
  require_between(b.max_position_embeddings, 2, int64_t{1} << 24, "max_position_embeddings");
  require_between(b.type_vocab_size, 1, 65536, "type_vocab_size");
  require(is_positive_float(b.layer_norm_eps) && b.layer_norm_eps < 1, "layer_norm_eps",
          "a float32 between 0 and 1", b.layer_norm_eps);
  require_between(b.max_seq_length, 2, b.max_position_embeddings, "max_seq_length");
}

}  // namespace

const char* name(Quantization value) {
  return find_name(value);
}
const char* name(Activation value) {
  return find_name(value);
}
const char* name(Norm value) {
  return find_name(value);
}
const char* name(Pooling value) {
  return find_name(value);
}
const char* name(ActivationQuantization value) {
  return find_name(value);
}

template <class Enum>
Enum from_name(const std::string& text) {
  std::string valid;
  for (const auto& [entry, entry_name] : Names<Enum>::entries) {
    if (text == entry_name) return entry;
    valid += valid.empty() ? entry_name : cat(" | ", entry_name);
  }
  fail("expected ", valid, ", found \"", text, "\"");
}
template Quantization from_name<Quantization>(const std::string&);
template Activation from_name<Activation>(const std::string&);
template Norm from_name<Norm>(const std::string&);
template Pooling from_name<Pooling>(const std::string&);
template ActivationQuantization from_name<ActivationQuantization>(const std::string&);

bool ModelConfig::is_transformer() const {
  return model_type == "bitnet" || model_type == "llama" || model_type == "qwen2";
}

ActivationQuantization ModelConfig::activation_quantization() const {
  if (quantization == Quantization::none) return ActivationQuantization::none;
  return !is_transformer() && mlp.activation == Activation::sign ? ActivationQuantization::ternary_threshold
                                                                 : ActivationQuantization::int8_absmax;
}

bool TransformerConfig::is_kept_dense(const std::string& module) const {
  return modules_to_not_convert && std::ranges::any_of(*modules_to_not_convert, [&](const auto& pattern) {
           return matches_module(pattern, module);
         });
}

bool ModelConfig::is_ternary(const std::string& module) const {
  if (quantization == Quantization::none) return false;
  return module == "lm_head" ? transformer.ternary_head : !transformer.is_kept_dense(module);
}

void ModelConfig::validate() const {
  if (is_transformer()) return validate_transformer(*this);
  if (is_encoder()) return validate_bert(*this);
  require(model_type == "mlp", "model_type", "bitnet, llama, qwen2, bert or mlp", model_type);
  validate_mlp(mlp);
}

std::vector<float> pixel_table(const MlpConfig& config) {
  std::vector<float> table(256);
  for (int p = 0; p < 256; ++p) {
    table[static_cast<size_t>(p)] = static_cast<float>((p / 255.0 - config.input_mean) / config.input_std);
  }
  return table;
}

}  // namespace rotor
