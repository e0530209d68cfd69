// What a model is: its architecture, sizes and numerics. Training, export and runtime share this one
// description; its JSON form, with Hugging Face key names, is in formats/config_json.h. It says nothing about
// how a model is trained.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rotor {

/// How the matrices of linear layers are used: `none` as they are (the float twin), `ternary` as in BitNet
/// b1.58.
enum class Quantization { none, ternary };

enum class Activation { relu, relu2, sign };

enum class Norm { none, rms };

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

struct ModelConfig {
  std::string model_type = "mlp";
  Quantization quantization = Quantization::ternary;
  MlpConfig mlp;

  ActivationQuantization activation_quantization() const;
  /// Throws Error naming the field, what is expected and what was found.
  void validate() const;
};

/// The name <-> value tables of the enums, for every config format. from_name throws Error listing the valid
/// names.
const char* name(Quantization value);
const char* name(Activation value);
const char* name(Norm value);
const char* name(ActivationQuantization value);
template <class Enum>
Enum from_name(const std::string& text);

/// The 256 inputs that the pixel values become: [p] = float((p/255 - mean) / std). Training and runtime read
/// this one table.
std::vector<float> pixel_table(const MlpConfig& config);

}  // namespace rotor
