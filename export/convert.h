// What becomes of what: models of any source to .rotor files, Hugging Face directories and GGUF files, tensor
// by tensor. It decides; reading and writing are rotor/formats.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rotor/core/dense.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/dtype.h"
#include "rotor/formats/gguf.h"
#include "rotor/formats/model_source.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/model_text.h"
#include "rotor/text/open_source.h"

namespace rotor::exporting {

using text::ModelText;
using text::open_source;
using text::OpenedSource;
using text::SourceOptions;

/// What became of one matrix or vector.
struct ExportedTensor {
  std::string name;  ///< as in a checkpoint
  std::vector<int64_t> shape;
  size_t source_bytes = 0;
  size_t bytes = 0;  ///< where it was written, with scales and the copy of a screened head
  std::string type;  ///< how it was written: "ternary planes", "TQ2_0", "float16"
  bool ternary = false;
  float scale = 0.0F;  ///< if ternary
  TritCounts counts;   ///< if ternary
};

/// Called after each tensor; may throw to end the export.
using OnTensor = std::function<void(const ExportedTensor&)>;

/// A tensor that would be written.
struct PlannedTensor {
  std::string name;  ///< as in the file
  std::string type;
  std::vector<int64_t> shape;
};

struct ExportOptions {
  DenseType head = DenseType::q8;        ///< what token embedding and dense head are kept as
  DenseType layers = DenseType::q8;      ///< the linear layers of a sentence encoder
  DenseType embeddings = DenseType::q8;  ///< its embeddings
  /// Whether a head in int8 gets a low-bit copy by which it can be screened; unset: if the head is large.
  std::optional<bool> head_screening;

  DenseFormat dense_format(const ModelConfig& config) const;
};

/// Writes a model to `path` as a .rotor file: ternary matrices are packed into planes, embeddings and heads
/// are kept as `options.head`, the matrices of a sentence encoder as `options.layers` and
/// `options.embeddings`, the rest becomes float32. No more than some pieces of rows are in memory. Nothing
/// stands at `path` unless all went well. Throws Error naming file and tensor.
void export_rotor(const ModelSource& source, const ModelText& text, const std::string& path,
                  const ExportOptions& options, const OnTensor& on_tensor);
/// The same, with model_text().
void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor);
/// What it would write, without padding and tokenizer.
std::vector<PlannedTensor> plan_rotor(const ModelSource& source, const ExportOptions& options);

struct HfOptions {
  /// Ternary matrices as codes and a scale, else as float masters that are quantized at every use: the
  /// source's own if it has them.
  bool packed = true;
  /// Of everything that is not codes; unset: the first of bf16, f16 and f32 that holds all of it exactly.
  std::optional<DType> dtype;
};

/// Writes a model into the new directory `directory`, as transformers loads it (config.json with
/// quantization_config, generation_config.json, model.safetensors, the tokenizer's files). The directory
/// appears whole or not at all. Throws Error naming file and tensor; also if something stands at `directory`
/// but an empty directory.
void export_hf(const ModelSource& source, const ModelText& text, const std::string& directory,
               const HfOptions& options, const OnTensor& on_tensor);
std::vector<PlannedTensor> plan_hf(const ModelSource& source, const HfOptions& options);

struct GgufExportOptions {
  std::optional<GgufType>
      ternary;  ///< TQ1_0, TQ2_0 or I2_S; unset: I2_S for architecture bitnet-b1.58, else TQ2_0
  /// Of token embedding and head: F32, F16, BF16 or Q8_0; unset: the first of F16, BF16 and F32 that holds
  /// them exactly.
  std::optional<GgufType> head;
  I2sOrder i2s_order = I2sOrder::x86;
  bool round_scales =
      false;  ///< scales that no binary16 equals may be rounded to one where the format needs it
};

/// Writes a ternary transformer to `path` as a GGUF file: architecture `bitnet` (SiLU gate) or `bitnet-b1.58`
/// (squared ReLU), `llama` or `qwen2`. Throws Error naming what the format cannot hold, and the one that can.
void export_gguf(const ModelSource& source, const ModelText& text, const std::string& path,
                 const GgufExportOptions& options, const OnTensor& on_tensor);
std::vector<PlannedTensor> plan_gguf(const ModelSource& source, const GgufExportOptions& options);

}  // namespace rotor::exporting
