// Loss and top-1 accuracy over a whole split.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "train/data/image_dataset.h"
#include "train/data/language_data.h"
#include "train/distributed/rank_share.h"
#include "train/models/ternary_mlp.h"
#include "train/models/transformer.h"

namespace rotor::train {

struct Evaluation {
  double loss = 0.0;                 ///< mean cross entropy, nats
  int64_t correct = 0;               ///< best guesses that are right
  int64_t total = 0;                 ///< images, or tokens that were predicted
  std::vector<int64_t> predictions;  ///< of a classifier: one class an image

  double accuracy() const {
    return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total);
  }
  double perplexity() const { return std::exp(loss); }
};

/// The classifier over all of `data`, or over this rank's share of it; its training mode is put back
/// afterwards.
Evaluation evaluate(TernaryMlp& model, const ImageDataset& data, torch::Device device,
                    int64_t batch_size = 1000, RankShare share = {});

/// The language model over the first `max_rows` rows (0: all) of the validation split, or over this rank's
/// share of them, `batch_size` at once.
Evaluation evaluate(Transformer& model, const LanguageData& data, torch::Device device, int64_t max_rows,
                    RankShare share = {}, int64_t batch_size = 16);

}  // namespace rotor::train
