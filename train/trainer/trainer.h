// Trains what a TrainConfig says: steps, evaluation, logging, checkpoints, interrupt and resume. What is
// trained is a Task (task.h). A resumed run computes what an unbroken one does, to the bit (same build,
// threads and device): data and randomness depend on seed and step, and all else is in the checkpoint.
// On several ranks each has a Trainer; they compute together, and that of rank 0 alone writes the run
// directory.
#pragma once

#include <torch/torch.h>

#include <memory>
#include <optional>

#include "rotor/tool/progress.h"
#include "train/config/train_config.h"
#include "train/distributed/data_parallel.h"
#include "train/distributed/rank_group.h"
#include "train/trainer/divergence.h"
#include "train/trainer/metrics.h"
#include "train/trainer/run_directory.h"
#include "train/trainer/task.h"

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
  /// With a `group`, which must outlive this object, all its ranks do the same at once; they must have the
  /// same config and data, and an Error of one is to end all (RankGroup::abandon).
  Trainer(TrainConfig config, StartMode start, RankGroup* group = nullptr, const Launch& launch = {});

  /// Trains to the end, or until an interrupt was noted on any rank; writes a checkpoint either way. True if
  /// it reached the end. Throws Error if training diverges; the last good checkpoint stays.
  bool run();

  const Evaluation& last_evaluation() const { return last_evaluation_; }
  const Evaluation& best_evaluation() const { return best_evaluation_; }
  const Task& task() const { return *task_; }

 private:
  /// Sums since the epoch began, or, without epochs, since the last line of the log.
  struct Totals {
    double loss = 0.0;
    int64_t correct = 0;
    int64_t seen = 0;
  };

  bool is_root() const { return group_ == nullptr || group_->is_root(); }
  /// Before anything that takes long: a folder that holds a run is refused at once.
  void open_directory(StartMode start);
  /// Data and model; on several ranks, rank 0 first.
  void load_task(StartMode start);
  void start_from(StartMode start);
  void save_checkpoint(bool is_best);
  void load_checkpoint(const std::string& directory);
  void save_optimizer_to(const std::string& path);
  void set_state(const Json& state, const std::string& state_path);
  /// Over the shares of all ranks.
  Evaluation evaluate();
  /// Losses and gradients of all parts of a batch, of all ranks.
  Totals compute_gradients();
  void train_step();
  /// Evaluates, if there is something to evaluate on, and writes a checkpoint.
  void evaluate_now();
  void check_resumable(const std::string& directory) const;
  [[noreturn]] void fail_diverged(const std::string& reason) const;
  /// The step at which the current round ends: the next evaluation or the end of the epoch.
  int64_t round_end() const;
  void after_step(tool::Progress& progress, int64_t round_start);
  void log_step();
  std::string round_label(int64_t end) const;
  std::string where_the_last_good_is() const;
  /// Runs to round_end(). False if it was interrupted.
  bool run_round();

  TrainConfig config_;
  RankGroup* group_;
  torch::Device device_;
  std::optional<RunDirectory> directory_;  // of rank 0, as are the metrics
  std::unique_ptr<Task> task_;
  std::optional<DataParallel> parallel_;                // on several ranks
  std::unique_ptr<torch::optim::Optimizer> optimizer_;  // on one
  std::optional<Metrics> metrics_;
  Divergence divergence_;

  int64_t total_steps_ = 0;
  int64_t step_ = 0;  // steps done
  Totals totals_;
  double gradient_norm_ = 0.0;
  double rate_ = 0.0;  // images or tokens a second
  std::string progress_text_;
  std::optional<int64_t> best_step_;
  Evaluation best_evaluation_;
  Evaluation last_evaluation_;
  int64_t evaluated_step_ = -1;
  bool interrupted_ = false;  // on any rank, as of the last step
};

}  // namespace rotor::train
