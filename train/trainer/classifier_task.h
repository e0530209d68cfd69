// Classifying images with a TernaryMlp: what the training loop asks of it.
#pragma once

#include <memory>
#include <vector>

#include "train/trainer/task.h"

namespace rotor::train {

class ClassifierTask final : public Task {
 public:
  /// Loads config.images, and sets the model's input statistics in `config` if it leaves them open.
  ClassifierTask(TrainConfig& config, torch::Device device);

  torch::nn::Module& module() override { return *model_; }
  const ModelConfig& model_config() const override { return model_->config(); }
  std::string description() const override;
  std::string unit() const override { return "images"; }
  std::string data_checksum() const override { return data_checksum_; }
  int64_t steps_per_epoch() const override { return (train_->size() + batch_size_ - 1) / batch_size_; }

  PartLoss loss(int64_t step, int64_t part) override;
  Evaluation evaluate() override;
  bool is_better(const Evaluation& a, const Evaluation& b) const override {
    return a.accuracy() > b.accuracy();
  }
  std::string describe(const Evaluation& evaluation) const override;
  void save(const std::string& directory) override;
  void load(const std::string& directory) override;

 private:
  torch::Device device_;
  int64_t batch_size_;
  uint64_t seed_;
  std::unique_ptr<ImageDataset> train_;
  std::unique_ptr<ImageDataset> test_;
  std::vector<float> pixel_table_;
  std::string data_checksum_;  // of the training images and labels
  int64_t order_epoch_ = -1;   // that order_ belongs to
  std::vector<int64_t> order_;
  TernaryMlp model_ = nullptr;
};

}  // namespace rotor::train
