// A ternary model in a GGUF file: architectures bitnet (mainline llama.cpp, gate silu), bitnet-b1.58 and
// bitnet-25 (bitnet.cpp, gate relu2), llama and qwen2. References: llama.cpp, llama-arch.cpp and
// convert_hf_to_gguf.py; bitnet.cpp, convert-hf-to-gguf-bitnet.py.
#pragma once

#include <string>

#include "rotor/core/gguf_blocks.h"
#include "rotor/formats/gguf.h"
#include "rotor/formats/model_source.h"

namespace rotor {

struct GgufOptions {
  I2sOrder i2s_order = I2sOrder::x86;  ///< files do not say it
  bool ignore_unknown = false;         ///< tensors that have no place in the model may be there
};

class GgufSource final : public ModelSource {
 public:
  /// Throws Error naming file, key or tensor, expected and found: also for ternary matrices that are kept as
  /// floats, or in a type that is not read here.
  explicit GgufSource(const std::string& path, const GgufOptions& options = {});

  const std::string& path() const override { return file_.path(); }
  std::string format() const override;
  const ModelConfig& config() const override { return config_; }
  std::string scale_convention() const override;
  size_t stored_bytes(const TensorSpec& spec) const override;
  float scale(const TensorSpec& spec) const override;
  void read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<int8_t> trits) const override;
  void read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                   std::span<float> values) const override;

  const GgufFile& file() const { return file_; }

 private:
  ModelConfig read_config() const;
  void check_tensors() const;
  const GgufTensorInfo& at(const TensorSpec& spec) const;
  int64_t stored_row(const TensorSpec& spec, int64_t row) const;
  void read_row(const TensorSpec& spec, const GgufTensorInfo& tensor, int64_t row,
                std::span<int8_t> trits) const;

  GgufFile file_;
  GgufOptions options_;
  ModelConfig config_;
};

/// GGUF's name of a tensor of tensor_table(), "blk.0.attn_q.weight", "blk.0.attn_q.bias".
std::string gguf_tensor_name(const std::string& name);

/// "blk.0.attn_q.scale" for "blk.0.attn_q.weight": a factor of its own that files of architecture bitnet may
/// hold beside a ternary matrix.
std::string gguf_factor_name(const std::string& gguf_name);

/// Whether files hold the rows of this tensor in another order: query and key matrices of architecture llama.
bool gguf_permutes(const ModelConfig& config, const TensorSpec& spec);

/// The row of a GGUF file that holds row `row` of a query or key matrix as Hugging Face has it: files of
/// architecture llama hold the two halves of each head's rotation interleaved.
int64_t gguf_rope_row(int64_t row, int64_t head_dim);

}  // namespace rotor
