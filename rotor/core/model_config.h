// What a model is: its architecture, sizes and numerics. Training, export and runtime share this one
// description; its JSON form, with Hugging Face key names, is in formats/config_json.h. It says nothing about
// how a model is trained.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace rotor {

/// How the matrices of linear layers are used: `none` as they are (the float twin), `ternary` as in BitNet
/// b1.58.
enum class Quantization { none, ternary };

enum class Activation { relu, relu2, sign, silu, gelu };

enum class Norm { none, rms };

/// How the hidden states of a text become its one vector: their mean, or that of the first token, [CLS].
enum class Pooling { mean, cls };

/// What the input of a ternary linear layer becomes before the product.
enum class ActivationQuantization {
  none,              ///< float; only for `quantization: none`
  int8_absmax,       ///< per-token absmax int8 (BitNet b1.58)
  ternary_threshold  ///< -1, 0, +1 by a threshold: products are popcounts of planes
};

/// A multi-layer perceptron over images. Layer i: linear -> norm -> activation -> dropout; the last one is
/// linear alone. With `activation: sign` the network is fully ternary: every linear layer's input, the image
/// included, is ternarized.
struct MlpConfig {
  std::vector<int64_t> layer_sizes;  ///< input width, hidden widths, number of classes
  Activation activation = Activation::relu;
  Norm norm = Norm::rms;
  double norm_eps = 1e-5;
  bool bias = false;
  double dropout = 0.0;         ///< training only
  double sign_threshold = 0.5;  ///< of `activation: sign`, in units of what enters the activation
  double input_mean = 0.0;      ///< a pixel p (0..255) enters the network as (p/255 - input_mean) / input_std
  double input_std = 1.0;
  std::vector<std::string> class_names;  ///< empty, or one name a class

  int64_t num_layers() const { return static_cast<int64_t>(layer_sizes.size()) - 1; }
  int64_t num_classes() const { return layer_sizes.back(); }
};

/// A decoder-only language model, `bitnet`, `llama` or `qwen2`, by the names of Hugging Face's config.json.
/// All have the block of transformers' modeling_llama.py: RMSNorm, grouped-query attention with rotary
/// embeddings, gated feed-forward. `bitnet` norms the input of o_proj and down_proj once more (attn_sub_norm,
/// ffn_sub_norm; modeling_bitnet.py); `qwen2` adds a bias to queries, keys and values (modeling_qwen2.py).
struct TransformerConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;                       ///< width of a head, even
  Activation hidden_act = Activation::relu2;  ///< relu2 | silu | relu, of the gate
  int64_t max_position_embeddings = 2048;     ///< longest context
  double rms_norm_eps = 1e-5;
  double rope_theta = 500000.0;
  bool tie_word_embeddings = true;  ///< the embedding is the head as well
  bool ternary_head = false;        ///< lm_head is a ternary matrix too; only if untied
  double initializer_range = 0.02;  ///< standard deviation of fresh weights
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;  ///< generation stops at any of them
  /// Each ternary layer norms its input by a weight of its own, `<layer>.rms_norm.weight`, before it
  /// quantizes it (transformers, integrations/bitnet.py: BitLinear and AutoBitLinear, both by LlamaRMSNorm).
  bool use_rms_norm = false;
  double linear_norm_eps = 1e-6;  ///< of those norms
  /// Linear layers that stay dense in a ternary model (core/module_pattern.h): float32, neither normed nor
  /// quantized. Absent: lm_head alone. A list takes the place of that default (quantizers/base.py,
  /// get_modules_to_not_convert), so it names lm_head too, or the head is ternary.
  std::optional<std::vector<std::string>> modules_to_not_convert;

  int64_t query_size() const { return num_attention_heads * head_dim; }
  int64_t key_value_size() const { return num_key_value_heads * head_dim; }
  /// Whether modules_to_not_convert names that module ("model.layers.0.mlp.up_proj").
  bool is_kept_dense(const std::string& module) const;
};

/// A sentence encoder, `bert`, by the names of Hugging Face's config.json and of sentence-transformers'
/// files. Each token sees all others; a block is attention, then two linear layers with the exact GELU
/// between them, each added to its input and put through a LayerNorm (Devlin et al. 2018, arXiv:1810.04805;
/// transformers, modeling_bert.py). Its linear layers are dense, and have biases.
struct BertConfig {
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_attention_heads = 0;
  int64_t intermediate_size = 0;
  Activation hidden_act = Activation::gelu;  ///< only gelu, x/2 * (1 + erf(x / sqrt 2))
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;  ///< texts are of type 0
  double layer_norm_eps = 1e-12;
  Pooling pooling = Pooling::mean;
  bool normalize = false;      ///< vectors are brought to length 1
  int64_t max_seq_length = 0;  ///< tokens of a text that are used, [CLS] and [SEP] among them

  int64_t head_dim() const { return hidden_size / num_attention_heads; }
};

struct ModelConfig {
  std::string model_type = "mlp";
  Quantization quantization = Quantization::ternary;
  MlpConfig mlp;                  ///< if model_type is mlp
  TransformerConfig transformer;  ///< if it is bitnet, llama or qwen2
  BertConfig bert;                ///< if it is bert

  bool is_transformer() const;
  /// Whether it gives texts vectors, not next tokens.
  bool is_encoder() const { return model_type == "bert"; }
  bool has_sub_norms() const { return model_type == "bitnet"; }
  /// Whether q_proj, k_proj and v_proj have a bias; no other layer of a transformer has one.
  bool has_qkv_bias() const { return model_type == "qwen2"; }
  ActivationQuantization activation_quantization() const;
  /// Whether the linear layer of that name ("model.layers.0.mlp.up_proj") is ternary.
  bool is_ternary(const std::string& module) const;
  /// Throws Error naming the field, what is expected and what was found.
  void validate() const;
};

/// The name <-> value tables of the enums, for every config format. from_name throws Error listing the valid
/// names.
const char* name(Quantization value);
const char* name(Activation value);
const char* name(Norm value);
const char* name(Pooling value);
const char* name(ActivationQuantization value);
template <class Enum>
Enum from_name(const std::string& text);

/// The 256 inputs that the pixel values become: [p] = float((p/255 - mean) / std). Training and runtime read
/// this one table.
std::vector<float> pixel_table(const MlpConfig& config);

}  // namespace rotor
