// Trains a classifier as a TrainConfig says: epochs, evaluation, checkpoints, interrupt and resume. A resumed
// run computes what an unbroken one does, to the bit (same build, threads and device): shuffling depends on
// seed and epoch, dropout on seed and step, and all else is in the checkpoint.
#pragma once

#include <torch/torch.h>

#include <memory>

#include "rotor/tool/progress.h"
#include "train/config/train_config.h"
#include "train/data/image_dataset.h"
#include "train/models/ternary_mlp.h"
#include "train/trainer/evaluate.h"
#include "train/trainer/run_directory.h"

namespace rotor::train {

enum class StartMode {
  fresh,      ///< refuse a folder that holds a run
  resume,     ///< go on from its last checkpoint; start if there is none
  overwrite,  ///< remove an earlier run
};

class Trainer {
 public:
  /// Loads data, builds or resumes the model. Throws Error for bad data, a bad device, or a run that cannot
  /// be resumed.
  Trainer(TrainConfig config, StartMode start);

  /// Trains to the end, or until an interrupt was noted; writes a checkpoint either way. True if it reached
  /// the end.
  bool run();

  const Evaluation& last_evaluation() const { return last_evaluation_; }
  double best_accuracy() const { return best_accuracy_; }

 private:
  /// Sums over the current epoch so far.
  struct EpochTotals {
    double loss = 0.0;
    int64_t correct = 0;
    int64_t seen = 0;
  };

  void load_data();
  void start_from(StartMode start);
  void save_checkpoint(bool is_best);
  void load_checkpoint(const std::string& directory);
  void train_step(std::span<const int64_t> indices);
  void evaluate_now();
  bool evaluation_is_due() const;
  void log_step(double learning_rate, double images_per_second);
  /// Runs the rest of the current epoch. False if it was interrupted.
  bool run_epoch();

  int64_t steps_per_epoch() const {
    return (train_data_->size() + config_.batch_size - 1) / config_.batch_size;
  }
  int64_t epoch() const { return step_ / steps_per_epoch(); }

  TrainConfig config_;
  torch::Device device_;
  RunDirectory directory_;
  std::unique_ptr<ImageDataset> train_data_;
  std::unique_ptr<ImageDataset> test_data_;
  std::vector<float> pixel_table_;
  std::string data_checksum_;  // of the training images and labels
  TernaryMlp model_ = nullptr;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;

  int64_t total_steps_ = 0;
  int64_t step_ = 0;  // steps done
  EpochTotals totals_;
  double best_accuracy_ = -1.0;
  int64_t best_step_ = 0;
  Evaluation last_evaluation_;
  int64_t evaluated_step_ = -1;
};

/// The device of that name. Throws Error if this LibTorch or machine has no CUDA.
torch::Device make_device(const std::string& name);

/// Uses that many threads, or all cores for 0.
void set_threads(int64_t threads);

}  // namespace rotor::train
