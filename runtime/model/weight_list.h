// The bytes of a model's weights, piece by piece, as Backend::hold() wants them.
#pragma once

#include <span>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

/// Adds what is there: nothing for an empty span, a matrix without data, a layer without bias.
void add_weights(std::vector<WeightBytes>& list, std::span<const float> values);
void add_weights(std::vector<WeightBytes>& list, const DenseMatrix& matrix);
void add_weights(std::vector<WeightBytes>& list, const LinearWeights& weights);

}  // namespace rotor::runtime
