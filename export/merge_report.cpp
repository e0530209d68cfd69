// The kind of a layer is the last part of its name.
#include "export/merge_report.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/tool/progress.h"

namespace rotor::exporting {
namespace {

double percent(size_t part, size_t whole) {
  return 100.0 * static_cast<double>(part) / static_cast<double>(std::max<size_t>(whole, 1));
}

}  // namespace

void MergeReport::Sum::add(const MergeChange& change) {
  weights += change.weights;
  flipped += change.flipped;
  ratios += static_cast<double>(change.scale_after) / static_cast<double>(change.scale_before);
  ++matrices;
}

std::string MergeReport::Sum::text() const {
  return tool::format("%6.3f %% of %zu ternary weights flipped, scales %+.3f %% (mean)",
                      percent(flipped, weights), weights,
                      100.0 * (ratios / static_cast<double>(matrices) - 1.0));
}

std::string MergeReport::add(const MergedSource& source, const std::string& tensor) {
  for (const TensorSpec& spec : tensor_table(source.config())) {
    if (spec.name != tensor) continue;
    const auto change = source.change(spec);
    if (!change) return "";
    const std::string module = module_of(spec);
    all_.add(*change);
    by_kind_[module.substr(module.rfind('.') + 1)].add(*change);
    return tool::format("%.3f %% flipped, scale %.6g -> %.6g", percent(change->flipped, change->weights),
                        static_cast<double>(change->scale_before), static_cast<double>(change->scale_after));
  }
  return "";
}

std::string MergeReport::text() const {
  if (all_.matrices == 0) return "  merged without rounding: the adapted layers are float\n";
  std::string text = cat("  merged: ", all_.text(), "\n");
  for (const auto& [kind, sum] : by_kind_) {
    text += cat("  ", tool::format("%-12s", kind.c_str()), sum.text(), "\n");
  }
  return text;
}

}  // namespace rotor::exporting
