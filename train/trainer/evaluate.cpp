// The evaluation loops.
#include "train/trainer/evaluate.h"

#include <algorithm>
#include <numeric>

namespace rotor::train {

Evaluation evaluate(TernaryMlp& model, const ImageDataset& data, torch::Device device, int64_t batch_size,
                    RankShare share) {
  const torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  const std::vector<float> table = pixel_table(model->config().mlp);
  Evaluation result;
  double loss_sum = 0.0;
  std::vector<int64_t> indices;
  const auto [begin_index, end_index] = share.of(data.size());
  for (int64_t first = begin_index; first < end_index; first += batch_size) {
    indices.resize(static_cast<size_t>(std::min(batch_size, end_index - first)));
    std::iota(indices.begin(), indices.end(), first);
    const Batch batch = data.batch(indices, table, device);
    const torch::Tensor logits = model->forward(batch.images);
    loss_sum +=
        torch::nn::functional::cross_entropy(
            logits, batch.labels, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum))
            .item<double>();
    const torch::Tensor classes = logits.argmax(-1).to(torch::kCPU).contiguous();
    const auto* begin = classes.data_ptr<int64_t>();
    result.predictions.insert(result.predictions.end(), begin, begin + classes.numel());
  }
  result.total = end_index - begin_index;
  for (size_t i = 0; i < result.predictions.size(); ++i) {
    if (result.predictions[i] == data.raw().labels[static_cast<size_t>(begin_index) + i]) ++result.correct;
  }
  result.loss = result.total == 0 ? 0.0 : loss_sum / static_cast<double>(result.total);
  model->train(was_training);
  return result;
}

Evaluation evaluate(Transformer& model, const LanguageData& data, torch::Device device, int64_t max_rows,
                    RankShare share, int64_t batch_size) {
  const torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  int64_t rows = data.num_validation_rows();
  if (max_rows > 0) rows = std::min(rows, max_rows);
  Evaluation result;
  double loss_sum = 0.0;
  const auto [begin, end] = share.of(rows);
  for (int64_t first = begin; first < end; first += batch_size) {
    const TokenBatch batch = data.validation_rows(first, std::min(batch_size, end - first));
    const torch::Tensor segments = batch.segments.defined() ? batch.segments.to(device) : torch::Tensor();
    const torch::Tensor targets = batch.targets.to(device).reshape({-1});
    torch::Tensor logits = model->forward(batch.inputs.to(device), segments);
    logits = logits.reshape({-1, logits.size(-1)});
    loss_sum += torch::nn::functional::cross_entropy(
                    logits, targets, torch::nn::functional::CrossEntropyFuncOptions().reduction(torch::kSum))
                    .item<double>();
    result.correct += logits.argmax(-1).eq(targets).sum().item<int64_t>();
    result.total += targets.ne(kNoTarget).sum().item<int64_t>();
  }
  result.loss = result.total == 0 ? 0.0 : loss_sum / static_cast<double>(result.total);
  model->train(was_training);
  return result;
}

}  // namespace rotor::train
