// A model's weights wherever they are kept, read by pieces of rows, so that no matrix need be in memory
// whole. Sources: a checkpoint directory (checkpoint.h), a GGUF file (gguf_source.h), a .rotor file
// (rotor_source.h). What reads them: rotor_writer.h and the writers of export/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/core/tensor_table.h"

namespace rotor {

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  /// File or directory.
  virtual const std::string& path() const = 0;
  /// What it is, for people: "Hugging Face, packed".
  virtual std::string format() const = 0;
  virtual const ModelConfig& config() const = 0;
  /// What becomes of ternary codes, for people: "weight = code * weight_scale".
  virtual std::string scale_convention() const = 0;
  /// Bytes that a tensor takes there.
  virtual size_t stored_bytes(const TensorSpec& spec) const = 0;

  /// The factor of a ternary matrix: weight = trit * scale; finite and above 0. May read the whole tensor.
  /// Throws Error naming file and tensor. This and the readers below may be called from several threads.
  virtual float scale(const TensorSpec& spec) const = 0;
  /// Rows of a ternary matrix, [rows, columns] values of -1, 0, +1. Throws Error naming file, tensor, row and
  /// column of a weight that is none.
  virtual void read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                          std::span<int8_t> trits) const = 0;
  /// The same as tiles (core/tiles.h); `first` is a multiple of kTileRows. Packs read_trits() unless a source
  /// has a shorter way.
  virtual void read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                          std::span<uint8_t> tiles) const;
  /// Whether ternary matrices are kept as float masters, which read_floats() reads too.
  virtual bool has_masters() const { return false; }
  /// Rows of any other tensor as float32, [rows, columns]; a vector's rows are its values.
  virtual void read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                           std::span<float> values) const = 0;

  /// Rows of any matrix as float32: masters, or where there are none code * scale.
  void read_values(const TensorSpec& spec, int64_t first, int64_t rows, std::span<float> values) const;

  /// A whole tensor as float32.
  std::vector<float> tensor(const TensorSpec& spec) const;
};

}  // namespace rotor
