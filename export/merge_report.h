// What rotor-export says about merged adapters: how many ternary values flipped, and what became of scales.
#pragma once

#include <map>
#include <string>

#include "export/merged_source.h"

namespace rotor::exporting {

/// Sums over layers, whole and by kind.
class MergeReport {
 public:
  /// What is said of a matrix: "1.20 % flipped, scale 0.8 -> 0.81"; nothing if merging rounded none of it.
  std::string add(const MergedSource& source, const std::string& tensor);
  /// Lines for people, each with a line feed: all layers, then each kind of them ("q_proj").
  std::string text() const;

 private:
  struct Sum {
    size_t weights = 0;
    size_t flipped = 0;
    size_t matrices = 0;
    double ratios = 0.0;  // of scales, after / before

    void add(const MergeChange& change);
    std::string text() const;
  };

  Sum all_;
  std::map<std::string, Sum> by_kind_;
};

}  // namespace rotor::exporting
