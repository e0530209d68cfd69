// Loss and accuracy of a classifier over a whole data set.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "train/data/image_dataset.h"
#include "train/models/ternary_mlp.h"

namespace rotor::train {

struct Evaluation {
  double loss = 0.0;  ///< mean cross-entropy in nats
  int64_t correct = 0;
  int64_t total = 0;
  std::vector<int64_t> predictions;

  double accuracy() const {
    return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total);
  }
};

/// Evaluates in evaluation mode and leaves the module in the mode it was in.
Evaluation evaluate(TernaryMlp& model, const ImageDataset& data, torch::Device device,
                    int64_t batch_size = 500);

}  // namespace rotor::train
