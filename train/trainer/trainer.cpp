// The training loop and its state on disk.
#include "train/trainer/trainer.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"
#include "rotor/core/quantize.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/tool/interrupt.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/optimizer_state.h"
#include "train/trainer/schedule.h"

namespace rotor::train {
namespace {

constexpr const char* kStateFile = "trainer.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kTelemetryFile = "telemetry.safetensors";

/// Bytes of memory that this process has in use.
double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0.0;
  double resident = 0.0;
  file >> pages >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

int64_t num_classes(const ModelConfig& config) {
  return config.is_transformer() ? config.transformer.vocab_size : config.mlp.num_classes();
}

}  // namespace

Trainer::Trainer(TrainConfig config, StartMode start)
    : config_(std::move(config)), device_(make_device(config_.device)), directory_(config_.output_dir) {
  set_threads(config_.threads);
  // Before anything that takes long: a folder that holds a run is refused at once.
  const auto last = directory_.last_checkpoint();
  if (start == StartMode::fresh && last) {
    fail(directory_.path(),
         ": holds a run already; go on with --resume, begin anew with --overwrite, or choose another folder "
         "with --set output_dir=DIR");
  }
  if (start == StartMode::overwrite) directory_.clear();
  if (start == StartMode::resume && last) check_resumable(*last);
  torch::manual_seed(config_.seed);
  task_ = make_task(config_, device_, {.checkpoint = start == StartMode::resume && last ? *last : ""});
  divergence_ = Divergence(num_classes(task_->model_config()));
  optimizer_ = make_optimizer(task_->module(), config_.optimizer);
  total_steps_ = config_.steps ? *config_.steps : task_->steps_in_epochs(*config_.epochs);
  start_from(start);
  write_file(directory_.file("config.yaml"), to_yaml(config_));
  metrics_.emplace(directory_, config_.tensorboard, step_ > 0 ? std::optional(step_) : std::nullopt);
  if (step_ > 0 && config_.telemetry_every > 0) {
    if (const std::string path = *directory_.last_checkpoint() + "/" + kTelemetryFile;
        std::filesystem::exists(path)) {
      metrics_->load_telemetry(path);
    }
  }
}

/// Before the data are touched: tokens that were made for the run are not to be made anew for a config that
/// is refused.
void Trainer::check_resumable(const std::string& directory) const {
  const std::string state_path = directory + "/" + kStateFile;
  const Json state = read_json_file(state_path);
  if (!state.is_object() || !state.contains("config") || !state["config"].is_string()) {
    fail(state_path, ": not a trainer state: expected a string \"config\"");
  }
  const TrainConfig saved = parse_train_config(state["config"].get<std::string>(), state_path + ": config");
  TrainConfig current = config_;
  // What the data decide is known later.
  if (current.model.transformer.vocab_size == 0) {
    current.model.transformer.vocab_size = saved.model.transformer.vocab_size;
  }
  if (!current.images.mean) {
    current.images.mean = saved.images.mean;
    current.images.std = saved.images.std;
  }
  if (const std::string differences = resume_differences(saved, current); !differences.empty()) {
    fail(directory, ": cannot resume with another config:\n", differences);
  }
}

void Trainer::start_from(StartMode start) {
  const auto last = directory_.last_checkpoint();
  if (start == StartMode::resume && last) return load_checkpoint(*last);
  directory_.drop_metrics_after(-1);  // of a run that ended before its first checkpoint
}

void Trainer::save_checkpoint(bool is_best) {
  directory_.add_checkpoint(step_, is_best, config_.keep_checkpoints, [&](const std::string& directory) {
    task_->save(directory);
    save_optimizer(*optimizer_, config_.optimizer.kind, task_->module(), step_,
                   directory + "/" + kOptimizerFile);
    if (config_.telemetry_every > 0) metrics_->save_telemetry(directory + "/" + kTelemetryFile);
    Json state = {{"step", step_},        {"loss", totals_.loss},           {"correct", totals_.correct},
                  {"seen", totals_.seen}, {"data", task_->data_checksum()}, {"config", to_yaml(config_)}};
    state["divergence"] = {divergence_.state().first, divergence_.state().second};
    if (best_step_) {
      state["best"] = {{"step", *best_step_},
                       {"loss", best_evaluation_.loss},
                       {"correct", best_evaluation_.correct},
                       {"total", best_evaluation_.total}};
    }
    write_file(directory + "/" + kStateFile, dump_json(state, 2) + "\n");
  });
}

void Trainer::load_checkpoint(const std::string& directory) {
  const std::string state_path = directory + "/" + kStateFile;
  const Json state = read_json_file(state_path);
  try {
    if (state.at("data") != task_->data_checksum()) {
      fail(directory, ": cannot resume with other training data than the run began with");
    }
    step_ = state.at("step").get<int64_t>();
    if (step_ < 0 || step_ > total_steps_) {
      fail(state_path, ": step: expected 0 to ", total_steps_, ", found ", step_);
    }
    totals_ = {state.at("loss").get<double>(), state.at("correct").get<int64_t>(),
               state.at("seen").get<int64_t>()};
    divergence_.restore(
        {state.at("divergence").at(0).get<bool>(), state.at("divergence").at(1).get<int64_t>()});
    if (state.contains("best")) {
      const Json& best = state.at("best");
      best_step_ = best.at("step").get<int64_t>();
      best_evaluation_.loss = best.at("loss").get<double>();
      best_evaluation_.correct = best.at("correct").get<int64_t>();
      best_evaluation_.total = best.at("total").get<int64_t>();
    }
  } catch (const Json::exception& e) {
    fail(state_path, ": not a trainer state: ", e.what());
  }
  task_->load(directory);
  load_optimizer(*optimizer_, config_.optimizer, task_->module(), step_, directory + "/" + kOptimizerFile);
  directory_.drop_metrics_after(step_);
  std::fprintf(stderr, "resuming %s at step %lld of %lld\n", directory.c_str(), static_cast<long long>(step_),
               static_cast<long long>(total_steps_));
}

std::string Trainer::where_the_last_good_is() const {
  const auto last = directory_.last_checkpoint();
  return last ? cat("; the last good checkpoint is ", *last)
              : std::string("; no checkpoint was written before");
}

void Trainer::fail_diverged(const std::string& reason) const {
  fail("training diverged at step ", step_, ": ", reason,
       "; lower train.learning_rate or set train.clip_norm", where_the_last_good_is());
}

void Trainer::train_step() {
  torch::manual_seed(mix_seed(config_.seed, static_cast<uint64_t>(step_)) >> 1);
  set_learning_rate(*optimizer_, learning_rate_at(config_.optimizer, step_, total_steps_));
  set_weight_decay(*optimizer_, config_.optimizer.kind,
                   weight_decay_at(config_.optimizer, step_, total_steps_));
  optimizer_->zero_grad();
  task_->begin_step(step_);
  Totals batch;
  try {
    for (int64_t part = 0; part < config_.accumulation; ++part) {
      const PartLoss loss = task_->loss(step_, part);
      const auto count = static_cast<double>(loss.count);
      const double mean = loss.count == 0 ? 0.0 : loss.mean.item<double>();
      batch.loss += mean * count;
      batch.correct += loss.correct;
      batch.seen += loss.count;
      if (loss.count == 0) continue;
      // Parts may have unlike numbers of targets, so sums are added up and divided once.
      (config_.accumulation == 1 && !config_.sum_loss ? loss.mean : loss.mean * count).backward();
    }
  } catch (const NotFiniteError& e) {  // latent weights overflowed in the step before
    fail_diverged(e.what());
  }
  const auto parameters = task_->module().parameters();
  if (config_.accumulation > 1 && !config_.sum_loss) {
    const torch::NoGradGuard no_grad;
    const double scale = 1.0 / static_cast<double>(std::max<int64_t>(batch.seen, 1));
    for (const torch::Tensor& parameter : parameters) {
      if (parameter.grad().defined()) parameter.grad().mul_(scale);
    }
  }
  // Without a limit the norm is computed all the same: a step on gradients that are not finite would spoil
  // the model.
  const double limit =
      config_.optimizer.clip_norm > 0 ? config_.optimizer.clip_norm : std::numeric_limits<double>::infinity();
  gradient_norm_ = torch::nn::utils::clip_grad_norm_(parameters, limit);
  const double mean = batch.seen == 0 ? 0.0 : batch.loss / static_cast<double>(batch.seen);
  if (const auto reason = divergence_.check(mean, gradient_norm_)) {
    fail_diverged(*reason);
  }
  step(*optimizer_);
  ++step_;
  totals_.loss += batch.loss;
  totals_.correct += batch.correct;
  totals_.seen += batch.seen;
}

int64_t Trainer::round_end() const {
  int64_t end = total_steps_;
  const int64_t epoch_steps = task_->steps_per_epoch();
  for (const int64_t interval : {config_.eval_every, epoch_steps, config_.sample.every}) {
    if (interval > 0) end = std::min(end, (step_ / interval + 1) * interval);
  }
  return end;
}

void Trainer::evaluate_now() {
  evaluated_step_ = step_;
  if (!task_->can_evaluate()) return save_checkpoint(false);
  try {
    last_evaluation_ = task_->evaluate();
  } catch (const NotFiniteError& e) {
    fail_diverged(e.what());
  } catch (...) {
    save_checkpoint(false);  // what was learnt is not lost with the evaluation
    throw;
  }
  if (!std::isfinite(last_evaluation_.loss))
    fail_diverged(cat("the loss of the evaluation is ", last_evaluation_.loss));
  std::vector<std::pair<std::string, double>> values = {{"eval_loss", last_evaluation_.loss},
                                                        {"eval_accuracy", last_evaluation_.accuracy()}};
  if (task_->unit() == "tokens") values.emplace_back("eval_perplexity", last_evaluation_.perplexity());
  metrics_->scalars(step_, values);
  const bool is_best = !best_step_ || task_->is_better(last_evaluation_, best_evaluation_);
  if (is_best) {
    best_evaluation_ = last_evaluation_;
    best_evaluation_.predictions.clear();
    best_step_ = step_;
  }
  save_checkpoint(is_best);
}

void Trainer::log_step() {
  const auto seen = static_cast<double>(std::max<int64_t>(totals_.seen, 1));
  std::vector<std::pair<std::string, double>> values = {
      {"loss", totals_.loss / seen},
      {"learning_rate", learning_rate_at(config_.optimizer, step_ - 1, total_steps_)},
      {"grad_norm", gradient_norm_},
      {task_->unit() + "_per_second", rate_},
      {"memory_bytes", resident_bytes()}};
  if (task_->steps_per_epoch() > 0) {
    values.emplace_back("accuracy", static_cast<double>(totals_.correct) / seen);
    values.emplace_back("epoch", static_cast<double>(step_) / static_cast<double>(task_->steps_per_epoch()));
  }
  metrics_->scalars(step_, values);
}

void Trainer::after_step(tool::Progress& progress, int64_t round_start) {
  // The pace is that of this round; nothing else is measured while it runs.
  const double seconds = std::max(progress.elapsed_seconds(), 1e-9);
  const auto steps = static_cast<double>(step_ - round_start);
  const double per_step = static_cast<double>(config_.batch_size) *
                          (task_->unit() == "tokens" ? static_cast<double>(config_.text.block_size) : 1.0);
  rate_ = steps * per_step / seconds;
  const auto seen = static_cast<double>(std::max<int64_t>(totals_.seen, 1));
  const std::string left = tool::duration_text(static_cast<double>(total_steps_ - step_) * seconds / steps);
  const std::string accuracy =
      task_->steps_per_epoch() > 0
          ? tool::format("  accuracy %.2f %%", 100.0 * static_cast<double>(totals_.correct) / seen)
          : "";
  progress_text_ =
      tool::format("loss %.4f%s  %.0f %s/s  %s left  %s", totals_.loss / seen, accuracy.c_str(), rate_,
                   task_->unit().c_str(), left.c_str(), tool::bytes_text(resident_bytes()).c_str());
  progress.update(step_ - round_start, progress_text_);
  const bool logs = step_ % config_.log_every == 0;
  if (logs) log_step();
  if (config_.telemetry_every > 0 && step_ % config_.telemetry_every == 0) {
    try {
      metrics_->telemetry(step_, task_->module());
    } catch (const NotFiniteError& e) {
      fail_diverged(e.what());
    }
  }
  const int64_t epoch_steps = task_->steps_per_epoch();
  if (epoch_steps > 0 ? step_ % epoch_steps == 0 : logs) totals_ = {};
}

std::string Trainer::round_label(int64_t end) const {
  const int64_t epoch_steps = task_->steps_per_epoch();
  if (epoch_steps == 0) return cat("step ", end, "/", total_steps_);
  return cat("epoch ", step_ / epoch_steps + 1, "/", (total_steps_ + epoch_steps - 1) / epoch_steps);
}

bool Trainer::run_round() {
  const int64_t start = step_;
  const int64_t end = round_end();
  tool::Progress progress(round_label(end), end - start);
  while (step_ < end) {
    train_step();
    after_step(progress, start);
    if (tool::interrupted() && step_ < end) return false;
  }
  const int64_t interval = config_.eval_every > 0 ? config_.eval_every : task_->steps_per_epoch();
  const bool is_due = step_ == total_steps_ || (interval > 0 && step_ % interval == 0);
  if (is_due) {
    evaluate_now();
    if (task_->can_evaluate()) progress_text_ += "  " + task_->describe(last_evaluation_);
  }
  progress.finish(progress_text_);
  const int64_t every = config_.sample.every;
  if (every >= 0 && (every == 0 ? is_due : step_ % every == 0)) {
    if (const std::string text = task_->sample(step_); !text.empty()) {
      metrics_->sample(step_, text);
      std::fprintf(stderr, "%s\n\n", text.c_str());
    }
  }
  return !tool::interrupted() || step_ == total_steps_;
}

bool Trainer::run() {
  std::fprintf(stderr, "%s, %lld parameters, %s, writing %s\n", task_->description().c_str(),
               static_cast<long long>(num_parameters(tensor_table(task_->model_config()))),
               tool::count_text(at::get_num_threads(), "thread").c_str(), directory_.path().c_str());
  while (step_ < total_steps_) {
    if (!run_round()) {
      if (evaluated_step_ != step_) save_checkpoint(false);
      return false;
    }
  }
  if (evaluated_step_ != step_ && task_->can_evaluate())
    last_evaluation_ = task_->evaluate();  // resumed at the end
  return true;
}

}  // namespace rotor::train
