// A pair is two rows of a batch, padded to the longest. What the model as it began says of each pair is asked
// once and kept, so that no second model is needed.
#include "train/trainer/preference_task.h"

#include <algorithm>
#include <numeric>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/safetensors.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "train/data/text_dataset.h"
#include "train/data/token_cache.h"
#include "train/data/window_order.h"

namespace rotor::train {
namespace {

constexpr const char* kReferenceFile = "reference.safetensors";
constexpr int64_t kEvaluationPairs = 8;

/// Rows of chosen and rejected answers in turn.
TokenBatch make_batch(const std::vector<PreferencePair>& pairs, const std::vector<int64_t>& indices) {
  std::vector<const EncodedChat*> chats;
  size_t longest = 2;
  for (const int64_t index : indices) {
    const PreferencePair& pair = pairs[static_cast<size_t>(index)];
    for (const EncodedChat* chat : {&pair.first, &pair.second}) {
      chats.push_back(chat);
      longest = std::max(longest, chat->tokens.size());
    }
  }
  const std::vector<int64_t> shape = {static_cast<int64_t>(chats.size()), static_cast<int64_t>(longest) - 1};
  TokenBatch batch{torch::zeros(shape, torch::kInt64), torch::full(shape, kNoTarget, torch::kInt64), {}};
  for (size_t row = 0; row < chats.size(); ++row) {
    const EncodedChat& chat = *chats[row];
    int64_t* inputs = batch.inputs[static_cast<int64_t>(row)].data_ptr<int64_t>();
    int64_t* targets = batch.targets[static_cast<int64_t>(row)].data_ptr<int64_t>();
    for (size_t i = 0; i + 1 < chat.tokens.size(); ++i) {
      inputs[i] = chat.tokens[i];
      if (chat.targets[i + 1]) targets[i] = chat.tokens[i + 1];
    }
  }
  return batch;
}

void write_tensor(SafetensorsWriter& writer, const torch::Tensor& tensor) {
  writer.write({static_cast<const uint8_t*>(tensor.data_ptr()), tensor.nbytes()});
}

torch::Tensor read_reference(const SafetensorsFile& file, const std::string& name, size_t pairs) {
  const TensorInfo& info = file.at(name);
  const std::vector<int64_t> shape = {static_cast<int64_t>(pairs), 2};
  if (info.shape != shape) {
    fail(file.path(), ": tensor \"", name, "\": expected shape ", shape_text(shape), ", found ",
         shape_text(info.shape));
  }
  std::vector<float> values = file.read<float>(name);
  return torch::from_blob(values.data(), shape, torch::kFloat32).clone();
}

}  // namespace

torch::Tensor preference_loss(const torch::Tensor& gained, double beta) {
  return -torch::log_sigmoid((gained.select(1, 0) - gained.select(1, 1)) * beta).mean();
}

PreferenceTask::PreferenceTask(TrainConfig& config, torch::Device device, const TaskStart& start)
    : TransformerTask(config, device, start) {
  if (run_model_.is_fresh())
    fail("data.type: preference: expected model.from, a model that can answer already");
  const text::SpecialTokenIds special = run_model_.special_tokens();
  const ChatEncoder encoder(run_model_.tokenizer(), run_model_.chat_template(), special.bos, special.eos);
  ChatSplits<PreferencePair> splits = read_preferences(config.text, encoder, config.threads);
  train_.pairs = std::move(splits.train);
  validation_.pairs = std::move(splits.validation);
  build(config);
}

std::string PreferenceTask::description() const {
  return cat(train_.pairs.size(), " training and ", validation_.pairs.size(), " validation pairs");
}

std::string PreferenceTask::data_checksum() const {
  Checksum sum;
  for (const PreferencePair& pair : train_.pairs) {
    for (const EncodedChat* chat : {&pair.first, &pair.second}) {
      const std::vector<uint8_t> targets(chat->targets.begin(), chat->targets.end());
      sum.add({reinterpret_cast<const uint8_t*>(chat->tokens.data()),
               chat->tokens.size() * sizeof(text::TokenId)});
      sum.add(targets);
    }
  }
  return sum.text();
}

int64_t PreferenceTask::steps_in_epochs(int64_t epochs) const {
  return (epochs * static_cast<int64_t>(train_.pairs.size()) + config_.batch_size - 1) / config_.batch_size;
}

torch::Tensor PreferenceTask::log_probabilities(const Split& split, const std::vector<int64_t>& indices) {
  const TokenBatch batch = make_batch(split.pairs, indices);
  const torch::Tensor targets = batch.targets.to(device_);
  const torch::Tensor logits = model_->forward(batch.inputs.to(device_));
  namespace F = torch::nn::functional;
  return -F::cross_entropy(logits.reshape({-1, logits.size(-1)}), targets.reshape({-1}),
                           F::CrossEntropyFuncOptions().reduction(torch::kNone))
              .view_as(targets)
              .sum(1);
}

PartLoss PreferenceTask::pair_loss(const Split& split, const std::vector<int64_t>& indices) {
  const torch::Tensor reference =
      split.reference.index_select(0, torch::tensor(indices, torch::kInt64)).to(device_);
  const torch::Tensor gained = log_probabilities(split, indices).view({-1, 2}) - reference;
  return {.mean = preference_loss(gained, config_.dpo_beta),
          .count = static_cast<int64_t>(indices.size()),
          .correct = gained.select(1, 0).gt(gained.select(1, 1)).sum().item<int64_t>()};
}

PartLoss PreferenceTask::loss(int64_t step, int64_t part) {
  const auto count = static_cast<int64_t>(train_.pairs.size());
  const int64_t rows = config_.batch_size / config_.accumulation;
  const auto [own, own_end] = share_.of(rows);
  if (own == own_end) return {};
  std::vector<int64_t> indices;
  for (int64_t row = own; row < own_end; ++row) {
    const int64_t sample = step * config_.batch_size + part * rows + row;
    indices.push_back(shuffled_index(config_.seed, sample / count, sample % count, count));
  }
  return pair_loss(train_, indices);
}

Evaluation PreferenceTask::evaluate() {
  const torch::NoGradGuard no_grad;
  model_->set_ternary_share(1.0);
  model_->eval();
  Evaluation result;
  double sum = 0.0;
  const auto [begin, end] = share_.of(static_cast<int64_t>(validation_.pairs.size()));
  for (int64_t first = begin; first < end; first += kEvaluationPairs) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min(kEvaluationPairs, end - first)));
    std::iota(indices.begin(), indices.end(), first);
    const PartLoss part = pair_loss(validation_, indices);
    sum += part.mean.item<double>() * static_cast<double>(part.count);
    result.correct += part.correct;
    result.total += part.count;
  }
  result.loss = result.total == 0 ? 0.0 : sum / static_cast<double>(result.total);
  model_->train();
  return result;
}

std::string PreferenceTask::describe(const Evaluation& evaluation) const {
  return tool::format("validation loss %.4f  chosen before rejected %.1f %%", evaluation.loss,
                      100.0 * evaluation.accuracy());
}

void PreferenceTask::begin(const std::function<void(torch::Tensor)>& broadcast) {
  find_reference(train_, "reference, training");
  find_reference(validation_, "reference, validation");
  broadcast(train_.reference);
  broadcast(validation_.reference);
}

void PreferenceTask::find_reference(Split& split, const std::string& label) {
  if (split.reference.defined()) return;
  const auto count = static_cast<int64_t>(split.pairs.size());
  torch::Tensor reference = torch::empty({count, 2});
  split.reference = reference;
  if (share_.rank != 0) return;  // it comes from rank 0
  const torch::NoGradGuard no_grad;
  model_->eval();
  tool::Progress progress(label, count);
  for (int64_t first = 0; first < count; first += kEvaluationPairs) {
    if (tool::interrupted()) throw TokenizingInterrupted("interrupted before the first step; begin anew");
    std::vector<int64_t> indices(static_cast<size_t>(std::min(kEvaluationPairs, count - first)));
    std::iota(indices.begin(), indices.end(), first);
    const auto size = static_cast<int64_t>(indices.size());
    reference.narrow(0, first, size).copy_(log_probabilities(split, indices).view({-1, 2}));
    progress.update(first + size, "");
  }
  progress.finish(tool::count_text(count, "pair"));
  model_->train();
}

void PreferenceTask::save(const std::string& directory) {
  TransformerTask::save(directory);
  SafetensorsWriter writer(directory + "/" + kReferenceFile, {},
                           {{"train", DType::f32, train_.reference.sizes().vec()},
                            {"validation", DType::f32, validation_.reference.sizes().vec()}});
  write_tensor(writer, train_.reference);
  write_tensor(writer, validation_.reference);
  writer.commit();
}

void PreferenceTask::load(const std::string& directory) {
  TransformerTask::load(directory);
  const SafetensorsFile file(directory + "/" + kReferenceFile);
  train_.reference = read_reference(file, "train", train_.pairs.size());
  validation_.reference = read_reference(file, "validation", validation_.pairs.size());
}

}  // namespace rotor::train
