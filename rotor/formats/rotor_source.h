// A .rotor file as the source of a model, for export to other formats. Inference uses rotor_file.h, which
// views weights where they lie.
#pragma once

#include <string>

#include "rotor/formats/model_source.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {

class RotorSource final : public ModelSource {
 public:
  /// Reads the whole file once: throws Error as RotorFile and RotorFile::check() do.
  explicit RotorSource(const std::string& path);

  const std::string& path() const override { return file_.path(); }
  /// "rotor, head q8".
  std::string format() const override;
  const ModelConfig& config() const override { return file_.config(); }
  std::string scale_convention() const override { return "weight = code * weight_scale"; }
  size_t stored_bytes(const TensorSpec& spec) const override;
  float scale(const TensorSpec& spec) const override;
  void read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<int8_t> trits) const override;
  void read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<uint8_t> tiles) const override;
  void read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                   std::span<float> values) const override;

  const RotorFile& file() const { return file_; }

 private:
  RotorFile file_;
};

}  // namespace rotor
