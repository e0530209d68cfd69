// What is trained, seen from the training loop: a model, its data, its loss. One class a kind of task
// (classifier_task.h, language_task.h); the loop itself is trainer.h.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "train/config/train_config.h"
#include "train/distributed/rank_share.h"
#include "train/trainer/evaluate.h"

namespace rotor::train {

/// The loss of a part of a batch.
struct PartLoss {
  torch::Tensor mean;   ///< over `count`, with gradients; undefined without any
  int64_t count = 0;    ///< images, or tokens with a target
  int64_t correct = 0;  ///< best guesses that are right
};

class Task {
 public:
  virtual ~Task() = default;

  virtual torch::nn::Module& module() = 0;
  virtual const ModelConfig& model_config() const = 0;
  /// "60000 training and 10000 test images": for people.
  virtual std::string description() const = 0;
  /// What Evaluation::total and the pace count: "images", "tokens" or "pairs".
  virtual std::string unit() const = 0;
  /// How many of them a row of a batch has, at most.
  virtual int64_t units_per_row() const { return 1; }
  /// Whether the loss is that of a distribution over tokens, so that its exponential says something.
  virtual bool has_perplexity() const { return false; }
  /// Changes if the training data do.
  virtual std::string data_checksum() const = 0;
  /// Changes if weights do that are used but not trained; "" if there are none.
  virtual std::string base_fingerprint() const { return ""; }
  /// Steps after which the data were seen once and figures start anew; 0 if there are no epochs.
  virtual int64_t steps_per_epoch() const = 0;

  /// Steps in which the data are seen `epochs` times.
  virtual int64_t steps_in_epochs(int64_t epochs) const { return epochs * steps_per_epoch(); }

  /// Called on all ranks once the model is what training begins or goes on with. `broadcast` replaces a
  /// tensor by that of rank 0.
  virtual void begin(const std::function<void(torch::Tensor)>& /*broadcast*/) {}
  /// Called before the losses of a step.
  virtual void begin_step(int64_t /*step*/) {}
  /// From now on loss() and evaluate() are about this rank's share of the rows alone.
  void set_share(RankShare share) { share_ = share; }
  /// Loss of part `part` of the batch of step `step`: a pure function of these and of the model, but for
  /// dropout.
  virtual PartLoss loss(int64_t step, int64_t part) = 0;
  /// Whether there is a validation split.
  virtual bool can_evaluate() const { return true; }
  /// Over the validation split.
  virtual Evaluation evaluate() = 0;
  /// Whether `a` is the better model.
  virtual bool is_better(const Evaluation& a, const Evaluation& b) const = 0;
  /// "test loss 0.3589  accuracy 89.62 %".
  virtual std::string describe(const Evaluation& evaluation) const = 0;
  /// What the model writes at this step; "" for a task without text.
  virtual std::string sample(int64_t /*step*/) { return ""; }
  /// Writes model and what belongs to it (tokenizer) into a checkpoint directory.
  virtual void save(const std::string& directory) = 0;
  virtual void load(const std::string& directory) = 0;

 protected:
  RankShare share_;
};

struct TaskStart {
  std::string checkpoint;   ///< that will be loaded; empty: the task begins anew
  bool trains = true;       ///< else it is only evaluated
  int64_t ranks = 1;        ///< processes that train it together
  bool owns_folder = true;  ///< else files go to a temporary folder, not to config.output_dir
};

/// The task of `config`, which receives what the data decide (pixel statistics, vocabulary). Files of the run
/// go to config.output_dir. Throws Error for bad data.
std::unique_ptr<Task> make_task(TrainConfig& config, torch::Device device, const TaskStart& start = {});

/// The device of that name, of several GPUs the one with that index. Throws Error if this LibTorch or machine
/// has no CUDA.
torch::Device make_device(const std::string& name, int64_t index = 0);

/// Uses that many threads, or for 0 all cores, of which `processes` on this machine take equal parts.
void set_threads(int64_t threads, int64_t processes = 1);

}  // namespace rotor::train
