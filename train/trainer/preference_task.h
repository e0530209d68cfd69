// Learning which of two answers is liked better, by direct preference optimization (Rafailov et al., arXiv
// 2305.18290).
#pragma once

#include <vector>

#include "train/data/chat_file.h"
#include "train/trainer/transformer_task.h"

namespace rotor::train {

/// Mean of -log sigmoid(beta (gained(chosen) - gained(rejected))), eq. 7 of the paper. `gained` [pairs, 2]:
/// by how much the log probabilities of chosen and rejected answer grew since the model began.
torch::Tensor preference_loss(const torch::Tensor& gained, double beta);

class PreferenceTask final : public TransformerTask {
 public:
  PreferenceTask(TrainConfig& config, torch::Device device, const TaskStart& start);

  std::string description() const override;
  std::string unit() const override { return "pairs"; }
  std::string data_checksum() const override;
  int64_t steps_in_epochs(int64_t epochs) const override;

  /// preference_loss(). `correct` counts pairs whose chosen answer gained more.
  PartLoss loss(int64_t step, int64_t part) override;
  /// Asks the model what it says of each pair, unless a checkpoint knows what it said as it began.
  void begin(const std::function<void(torch::Tensor)>& broadcast) override;
  bool can_evaluate() const override { return !validation_.pairs.empty(); }
  Evaluation evaluate() override;
  bool is_better(const Evaluation& a, const Evaluation& b) const override { return a.loss < b.loss; }
  std::string describe(const Evaluation& evaluation) const override;
  /// The log probabilities of the model as it began go along.
  void save(const std::string& directory) override;
  void load(const std::string& directory) override;

 private:
  struct Split {
    std::vector<PreferencePair> pairs;
    torch::Tensor reference;  ///< float32 [pairs, 2]: log p0 of chosen and rejected answers
  };

  /// Sums of the answers' log probabilities, [2 * indices]: chosen, rejected, chosen, ...
  torch::Tensor log_probabilities(const Split& split, const std::vector<int64_t>& indices);
  PartLoss pair_loss(const Split& split, const std::vector<int64_t>& indices);
  void find_reference(Split& split, const std::string& label);

  Split train_, validation_;
};

}  // namespace rotor::train
