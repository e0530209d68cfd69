// Classification of many images with a packed model: batches, threads, counts. What a program calls; the
// network is runtime/model/mlp.h.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "rotor/formats/idx.h"
#include "runtime/model/mlp.h"

namespace rotor::runtime {

struct ClassifyOptions {
  int64_t batch = 32;
  int64_t threads = 1;
  /// Called now and then, from one thread, with the number of images done; returns false to stop early.
  std::function<bool(int64_t done)> on_progress;
};

struct ClassifyResult {
  std::vector<int64_t> predictions;             ///< one class an image, as far as done
  std::vector<std::vector<int64_t>> confusion;  ///< [label][prediction]
  int64_t correct = 0;
  int64_t total = 0;
  double seconds = 0.0;  ///< wall clock of all threads together

  double accuracy() const {
    return total == 0 ? 0.0 : static_cast<double>(correct) / static_cast<double>(total);
  }
};

class Classifier {
 public:
  /// `file` must outlive this object.
  explicit Classifier(const RotorFile& file);

  const Mlp& model() const { return model_; }

  /// The classes of `count` images, uint8 [count, inputs]: the first of the largest logits. One thread.
  std::vector<int64_t> predict(Backend& backend, const uint8_t* pixels, int64_t count,
                               int64_t batch = 32) const;

  /// Classifies data against its labels. Images have the model's size, labels are below the number of
  /// classes. Results do not depend on batch and threads. Throws Error if the model file shrank meanwhile.
  ClassifyResult evaluate(Backend& backend, const IdxDataset& data, const ClassifyOptions& options) const;

 private:
  void predict_into(Backend& backend, Mlp::Workspace& workspace, const uint8_t* pixels,
                    std::span<int64_t> classes) const;

  const RotorFile& file_;
  Mlp model_;
  std::vector<float> pixel_table_;
};

}  // namespace rotor::runtime
