// Whatever someone names as a model: told by its contents.
#pragma once

#include <memory>
#include <string>

#include "rotor/formats/gguf_source.h"
#include "rotor/formats/model_source.h"
#include "rotor/text/model_text.h"

namespace rotor::text {

struct OpenedSource {
  std::unique_ptr<ModelSource> model;
  ModelText text;
  bool is_i2s = false;  ///< a GGUF file whose order of I2_S only its maker knows
};

struct SourceOptions {
  GgufOptions gguf;        ///< `ignore_unknown` is for checkpoints too
  bool ternarize = false;  ///< a float checkpoint is quantized by absmean
};

/// Opens a checkpoint directory, a GGUF file or a .rotor file. Throws Error naming what is wrong, with a hint
/// where users often err: a run instead of its checkpoint, a single file of a checkpoint.
OpenedSource open_source(const std::string& path, const SourceOptions& options);

}  // namespace rotor::text
