// A model with LoRA adapters merged into its weights: what rotor-export --adapter writes. It reads from
// another source and adds to what it reads, by pieces of rows, so that no more of a model is in memory than
// without; ternary matrices are rounded to ternary values again, which loses most of a small adapter
// (docs/adapters.md). Adapters beside a base that stays as it is are the runtime's.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/quantize.h"
#include "rotor/formats/model_source.h"
#include "rotor/formats/peft_adapter.h"

namespace rotor::exporting {

/// An adapter, and how often it is added.
struct MergedAdapter {
  std::shared_ptr<const PeftAdapter> files;
  float weight = 1.0F;
};

/// What merging made of a ternary matrix.
struct MergeChange {
  size_t weights = 0;
  size_t flipped = 0;  ///< ternary values that are others than before
  float scale_before = 0.0F;
  float scale_after = 0.0F;
};

class MergedSource final : public ModelSource {
 public:
  /// Throws Error unless every adapter fits the base.
  MergedSource(std::unique_ptr<ModelSource> base, std::vector<MergedAdapter> adapters);

  const std::string& path() const override { return base_->path(); }
  std::string format() const override;
  const ModelConfig& config() const override { return base_->config(); }
  std::string scale_convention() const override { return base_->scale_convention(); }
  size_t stored_bytes(const TensorSpec& spec) const override { return base_->stored_bytes(spec); }
  bool has_masters() const override { return base_->has_masters(); }

  /// Of W + sum of weight * scale * B A. If W are masters: absmean, as always (core/quantize.h). If only
  /// codes are known, W is code * scale, whose own absmean is smaller than the scale by the share of codes
  /// that are 0; so the scale changes as absmean does: scale * mean|merged| / mean|W|. Reads the matrix.
  float scale(const TensorSpec& spec) const override;
  void read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<int8_t> trits) const override;
  void read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                  std::span<uint8_t> tiles) const override;
  /// Float matrices, and masters, merged.
  void read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                   std::span<float> values) const override;

  /// What has changed in a ternary matrix; nothing if no adapter is for it. Reads what was not read yet.
  std::optional<MergeChange> change(const TensorSpec& spec) const;

 private:
  bool is_merged(const TensorSpec& spec) const;
  void add_adapters(const TensorSpec& spec, int64_t first, int64_t rows, std::span<float> values) const;
  TernaryScale merged_scale(const TensorSpec& spec) const;
  TernaryScale find_scale(const TensorSpec& spec) const;
  bool was_read(const TensorSpec& spec) const;

  std::unique_ptr<ModelSource> base_;
  std::vector<MergedAdapter> adapters_;
  mutable std::mutex mutex_;
  mutable std::map<std::string, TernaryScale> scales_;                  // once they are known
  mutable std::map<std::string, std::vector<int64_t>> flipped_by_row_;  // -1: not read yet
};

}  // namespace rotor::exporting
