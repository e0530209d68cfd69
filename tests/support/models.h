// Small models and data sets that tests make for themselves.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/formats/idx.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::test {

/// A ternary mlp with odd sizes, so that every tile has an edge.
ModelConfig small_mlp(Activation activation = Activation::relu,
                      Quantization quantization = Quantization::ternary, bool bias = true);

/// Every kind of mlp whose numerics differ.
std::vector<std::pair<Activation, Quantization>> mlp_kinds();
/// "relu_ternary".
std::string kind_name(const std::pair<Activation, Quantization>& kind);

/// A ternary language model with odd sizes: 3 layers, width 40, 4 heads over 2, vocabulary of 101.
/// `model_type`: bitnet, llama (untied head) or qwen2.
ModelConfig small_transformer(const std::string& model_type = "bitnet",
                              Quantization quantization = Quantization::ternary);

/// A language model for each way in which their numerics differ, with a name that a test may bear:
/// bitnet, llama and qwen2, ternary and float, and each with all options of ternary layers.
struct TransformerKind {
  std::string name;
  ModelConfig config;
};
std::vector<TransformerKind> transformer_kinds();
std::ostream& operator<<(std::ostream& out, const TransformerKind& kind);

/// Checkpoints with golden logits: "packed" and "online" of tests/golden/bitnet-tiny, the directories of
/// tests/golden/bitnet-options, and "qwen2-" with the variants of tests/golden/qwen2.
std::vector<std::string> golden_transformers();
/// Makes `directory` that checkpoint.
void write_golden_transformer(const std::string& directory, const std::string& variant);
/// The tensors that belong to it: prompt.*, and `variant`.f32.*.
SafetensorsFile golden_transformer_outputs(const std::string& variant);

/// Writes a checkpoint with random weights of `config` into `directory`, which is created.
void write_random_checkpoint(const std::string& directory, const ModelConfig& config, uint64_t seed = 1);

/// Writes a .rotor file of random weights (a checkpoint beside it, exported).
void write_random_model(const std::string& path, const ModelConfig& config, uint64_t seed = 1,
                        DenseFormat dense = {});

/// Writes the four IDX files of a learnable data set: images of `side` x `side` pixels in 10 classes, each a
/// blurred prototype with noise.
void write_idx_dataset(const std::string& directory, int64_t train_count, int64_t test_count,
                       int64_t side = 8);

/// The bytes of an IDX file with that shape (1 or 3 dimensions).
std::string idx_bytes(const std::vector<uint32_t>& shape, const std::vector<uint8_t>& data);

}  // namespace rotor::test
