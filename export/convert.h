// What becomes of what: models of any source to .rotor files, tensor by tensor. It decides; reading and
// writing are rotor/formats.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rotor/core/dense.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/attachments.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/gguf_source.h"
#include "rotor/formats/model_source.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::exporting {

/// What became of one matrix or vector.
struct ExportedTensor {
  std::string name;
  std::vector<int64_t> shape;
  size_t source_bytes = 0;
  size_t bytes = 0;                  ///< in the .rotor file, with scales and the copy of a screened head
  DenseType dense = DenseType::f32;  ///< unless ternary
  bool ternary = false;
  float scale = 0.0F;  ///< if ternary
  TritCounts counts;   ///< if ternary
};

struct ExportOptions {
  DenseType head = DenseType::q8;  ///< what token embedding and dense head are kept as
  /// Whether a head in int8 gets a low-bit copy by which it can be screened; unset: if the head is large.
  std::optional<bool> head_screening;

  DenseFormat dense_format(const ModelConfig& config) const;
};

/// What a checkpoint directory says of text: its tokenizer's tables (tokenizer.json or tokenizer.model), the
/// chat template (tokenizer_config.json or chat_template.jinja), and the special tokens of its config. Empty
/// tables if it has no tokenizer. Throws Error naming the file, also if the tokenizer has more tokens than
/// the model.
RotorAttachments text_attachments(const Checkpoint& checkpoint);

/// The same of a GGUF file's metadata. Files of BitNet 2B4T carry a wrong chat template, which is replaced,
/// and one stop token of its two.
RotorAttachments text_attachments(const GgufSource& source);

using OnTensor = std::function<void(const ExportedTensor&)>;

/// Writes a model to `path` as a .rotor file: ternary matrices are packed into planes, embeddings and heads
/// are kept as `options.head`, the rest becomes float32. Calls `on_tensor` after each. No more than some
/// pieces of rows are in memory. Nothing stands at `path` unless all went well. Throws Error naming file and
/// tensor.
void export_rotor(const ModelSource& source, const RotorAttachments& attachments, const std::string& path,
                  const ExportOptions& options, const OnTensor& on_tensor);
/// The same, with text_attachments().
void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor);

}  // namespace rotor::exporting
