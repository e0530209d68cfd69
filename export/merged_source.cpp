// A matrix is read once for its scale and once more, or twice, for its values: each time W + s B A is
// computed anew.
#include "export/merged_source.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rotor/core/error.h"
#include "rotor/core/parallel.h"
#include "rotor/core/tiles.h"

namespace rotor::exporting {
namespace {

std::span<const float> as_floats(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

}  // namespace

MergedSource::MergedSource(std::unique_ptr<ModelSource> base, std::vector<MergedAdapter> adapters)
    : base_(std::move(base)), adapters_(std::move(adapters)) {
  for (const MergedAdapter& adapter : adapters_) adapter.files->check_shapes(config(), path());
}

std::string MergedSource::format() const {
  return cat(base_->format(), ", with ", adapters_.size(), adapters_.size() == 1 ? " adapter" : " adapters");
}

bool MergedSource::is_merged(const TensorSpec& spec) const {
  return can_adapt(spec) && std::ranges::any_of(adapters_, [&](const MergedAdapter& adapter) {
           return adapter.files->find(module_of(spec)) != nullptr;
         });
}

void MergedSource::add_adapters(const TensorSpec& spec, int64_t first, int64_t rows,
                                std::span<float> values) const {
  const auto cols = static_cast<size_t>(spec.shape[1]);
  for (const auto& [files, weight] : adapters_) {
    const LoraLayer* layer = files->find(module_of(spec));
    if (layer == nullptr) continue;
    const auto rank = static_cast<size_t>(layer->rank);
    const std::vector<float> a = files->read(*layer->a);
    std::vector<float> b(static_cast<size_t>(rows) * rank);
    files->read(*layer->b, first, b);
    const float factor = weight * layer->scale;
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      float* row = values.data() + r * cols;
      for (size_t k = 0; k < rank; ++k) {
        const float times = factor * b[r * rank + k];
        const float* from = a.data() + k * cols;
        for (size_t c = 0; c < cols; ++c) row[c] += times * from[c];
      }
    }
    files->weights().check_intact();
  }
}

TernaryScale MergedSource::find_scale(const TensorSpec& spec) const {
  const auto cols = static_cast<size_t>(spec.shape[1]);
  const bool only_codes = !has_masters();
  MeanAbs base;
  MeanAbs merged;
  parallel_rows_in_order(
      spec.shape[0], rows_a_piece(spec.shape[1], static_cast<int64_t>(kTileRows)),  // MeanAbs wants 16 rows
      [&](int64_t first, int64_t rows, std::vector<uint8_t>& bytes) {
        const size_t count = static_cast<size_t>(rows) * cols;
        std::vector<float> values(count);
        base_->read_values(spec, first, rows, values);
        bytes.resize((only_codes ? 2 : 1) * count * sizeof(float));
        const auto parts = std::span(bytes);
        if (only_codes) floats_to(DType::f32, values, parts.last(count * sizeof(float)));
        add_adapters(spec, first, rows, values);
        floats_to(DType::f32, values, parts.first(count * sizeof(float)));
      },
      [&](std::span<const uint8_t> bytes) {
        const auto values = as_floats(bytes);
        const size_t count = values.size() / (only_codes ? 2 : 1);
        try {
          merged.add(values.first(count));
        } catch (const NotFiniteError& e) {
          fail(path(), ": tensor \"", spec.name, "\" with its adapters: ", e.what());
        }
        if (only_codes) base.add(values.last(count));
      });
  if (!only_codes || base.mean() == 0.0) return absmean_scale(merged.mean());
  const double scale = static_cast<double>(base_->scale(spec)) * (merged.mean() / base.mean());
  const auto rounded = static_cast<float>(std::max(scale, static_cast<double>(kQuantizerEpsilon)));
  return {.inverse_scale = 1.0F / rounded, .scale = rounded};
}

TernaryScale MergedSource::merged_scale(const TensorSpec& spec) const {
  const std::lock_guard lock(mutex_);
  const auto known = scales_.find(spec.name);
  if (known != scales_.end()) return known->second;
  return scales_[spec.name] = find_scale(spec);
}

float MergedSource::scale(const TensorSpec& spec) const {
  return is_merged(spec) ? merged_scale(spec).scale : base_->scale(spec);
}

void MergedSource::read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                              std::span<int8_t> trits) const {
  base_->read_trits(spec, first, rows, trits);
  if (!is_merged(spec)) return;
  const auto cols = static_cast<size_t>(spec.shape[1]);
  const std::vector<int8_t> before(trits.begin(), trits.end());
  std::vector<float> values(before.size());
  base_->read_values(spec, first, rows, values);
  add_adapters(spec, first, rows, values);
  round_absmean(values, merged_scale(spec).inverse_scale, trits);
  const std::lock_guard lock(mutex_);
  std::vector<int64_t>& flipped = flipped_by_row_[spec.name];
  flipped.resize(static_cast<size_t>(spec.shape[0]), -1);
  for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
    int64_t& count = flipped[static_cast<size_t>(first) + r] = 0;
    for (size_t i = r * cols; i < (r + 1) * cols; ++i) count += trits[i] != before[i];
  }
}

void MergedSource::read_tiles(const TensorSpec& spec, int64_t first, int64_t rows,
                              std::span<uint8_t> tiles) const {
  is_merged(spec) ? ModelSource::read_tiles(spec, first, rows, tiles)
                  : base_->read_tiles(spec, first, rows, tiles);
}

void MergedSource::read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                               std::span<float> values) const {
  base_->read_floats(spec, first, rows, values);
  if (is_merged(spec)) add_adapters(spec, first, rows, values);
}

bool MergedSource::was_read(const TensorSpec& spec) const {
  const std::lock_guard lock(mutex_);
  const auto flipped = flipped_by_row_.find(spec.name);
  return flipped != flipped_by_row_.end() && std::ranges::count(flipped->second, -1) == 0;
}

std::optional<MergeChange> MergedSource::change(const TensorSpec& spec) const {
  if (!is_ternary(config(), spec) || !is_merged(spec)) return std::nullopt;
  if (!was_read(spec)) {  // where masters are written, nobody asks for trits
    parallel_rows(spec.shape[0], rows_a_piece(spec.shape[1]), [&](int64_t first, int64_t rows) {
      std::vector<int8_t> trits(static_cast<size_t>(rows * spec.shape[1]));
      read_trits(spec, first, rows, trits);
    });
  }
  MergeChange change{.weights = static_cast<size_t>(spec.shape[0] * spec.shape[1]),
                     .scale_before = base_->scale(spec),
                     .scale_after = scale(spec)};
  const std::lock_guard lock(mutex_);
  const std::vector<int64_t>& flipped = flipped_by_row_[spec.name];
  change.flipped = static_cast<size_t>(std::accumulate(flipped.begin(), flipped.end(), int64_t{0}));
  return change;
}

}  // namespace rotor::exporting
