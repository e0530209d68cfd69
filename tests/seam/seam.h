// The seam between training and runtime: the LibTorch module and the packed model on the same images. Where
// the classes differ, the first quantized activation that differs must be a rounding tie, and this finds and
// measures it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/engine/classifier.h"
#include "train/models/ternary_mlp.h"

namespace rotor::test {

/// A quantized activation that differs between the two, in the first layer where one does.
struct CodeDifference {
  int64_t image;
  int64_t layer;
  int64_t unit;
  double torch_value;  ///< before rounding: activation * scale for int8, the activation itself for sign
  double packed_value;
  double tie_distance;  ///< of torch_value to the nearest place where the code changes (k + 0.5, or the
                        ///< threshold)
};

struct SeamReport {
  int64_t images = 0;
  std::vector<int64_t> differing_images;         ///< whose classes differ
  std::vector<CodeDifference> code_differences;  ///< over all images, whether or not the class changed
  double largest_logit_difference = 0.0;         ///< over images without a code difference
  std::vector<int64_t> unexplained;  ///< classes differ but every code is equal and the logits are not tied
};

/// Largest tie distance that float rounding explains: values are below 128, relative errors a few 2^-24.
inline constexpr double kTieTolerance = 1e-4;

/// Largest difference of logits that float rounding explains where every code is equal.
inline constexpr double kLogitTolerance = 1e-3;

/// Throws Error if the two have different configurations.
SeamReport compare_seam(train::TernaryMlp& module, const runtime::Classifier& packed,
                        runtime::Backend& backend, const IdxDataset& data);

/// One line a code difference of an image whose class differs, as people read it.
std::string describe(const SeamReport& report);

/// Whether there were images, at most `max_images` classes differ, every differing code is a tie, and all
/// other logits are within kLogitTolerance.
bool acceptable(const SeamReport& report, size_t max_images);

}  // namespace rotor::test
