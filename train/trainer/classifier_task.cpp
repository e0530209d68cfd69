// Images in an order that depends on seed and epoch alone.
#include "train/trainer/classifier_task.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "rotor/tool/progress.h"
#include "train/models/parameters.h"

namespace rotor::train {

ClassifierTask::ClassifierTask(TrainConfig& config, torch::Device device)
    : device_(device), batch_size_(config.batch_size), seed_(config.seed) {
  MlpConfig& mlp = config.model.mlp;
  IdxDataset train = load_idx(config.images.path, IdxSplit::train);
  IdxDataset test = load_idx(config.images.path, IdxSplit::test);
  for (const IdxDataset* data : {&train, &test}) {
    check_idx(*data, config.images.path, mlp.layer_sizes.front(), mlp.num_classes());
  }
  if (!config.images.mean) {
    const PixelStatistics statistics = pixel_statistics(train);
    config.images.mean = statistics.mean;
    config.images.std = statistics.std;
  }
  mlp.input_mean = *config.images.mean;
  mlp.input_std = *config.images.std;
  pixel_table_ = pixel_table(mlp);
  data_checksum_ = checksum(train.pixels) + checksum(train.labels);
  train_ = std::make_unique<ImageDataset>(std::move(train));
  test_ = std::make_unique<ImageDataset>(std::move(test));
  model_ = TernaryMlp(config.model);
  model_->to(device_);
}

std::string ClassifierTask::description() const {
  return cat(train_->size(), " training and ", test_->size(), " test images");
}

PartLoss ClassifierTask::loss(int64_t step, int64_t /*part*/) {
  const int64_t epoch = step / steps_per_epoch();
  if (epoch != order_epoch_) {
    order_ = shuffled_order(train_->size(), seed_, epoch);
    order_epoch_ = epoch;
  }
  const int64_t first = step % steps_per_epoch() * batch_size_;
  const auto [own, own_end] = share_.of(std::min(batch_size_, train_->size() - first));
  const int64_t begin = first + own;
  const int64_t count = own_end - own;
  if (count == 0) return {};
  const auto indices = std::span(order_).subspan(static_cast<size_t>(begin), static_cast<size_t>(count));
  const Batch batch = train_->batch(indices, pixel_table_, device_);
  const torch::Tensor logits = model_->forward(batch.images);
  return {torch::nn::functional::cross_entropy(logits, batch.labels), count,
          logits.argmax(-1).eq(batch.labels).sum().item<int64_t>()};
}

Evaluation ClassifierTask::evaluate() {
  return train::evaluate(model_, *test_, device_, 1000, share_);
}

std::string ClassifierTask::describe(const Evaluation& evaluation) const {
  return tool::format("test loss %.4f  accuracy %.2f %%", evaluation.loss, 100.0 * evaluation.accuracy());
}

void ClassifierTask::save(const std::string& directory) {
  save_parameters(*model_, model_->config(), directory);
}

void ClassifierTask::load(const std::string& directory) {
  load_parameters(*model_, Checkpoint(directory));
}

}  // namespace rotor::train
