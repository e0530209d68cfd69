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
#include "train/distributed/agreement.h"
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

/// The option of rotor-train fit.
const char* start_name(StartMode start) {
  switch (start) {
    case StartMode::fresh:
      return "neither --resume nor --overwrite";
    case StartMode::resume:
      return "--resume";
    case StartMode::overwrite:
      return "--overwrite";
  }
  return "";
}

int64_t num_classes(const ModelConfig& config) {
  return config.is_transformer() ? config.transformer.vocab_size : config.mlp.num_classes();
}

}  // namespace

Trainer::Trainer(TrainConfig config, StartMode start, RankGroup* group, const Launch& launch)
    : config_(std::move(config)), group_(group), device_(make_device(config_.device, launch.local_rank)) {
  set_threads(config_.threads, launch.local_size);
  if (group_ != nullptr) check_same_config(*group_, config_, start_name(start));
  if (is_root()) open_directory(start);
  torch::manual_seed(config_.seed);
  if (config_.optimizer.state_on_disk) {
    std::filesystem::create_directories(config_.output_dir);
    config_.optimizer.state_directory = config_.output_dir;
  }
  load_task(start);
  divergence_ = Divergence(num_classes(task_->model_config()));
  if (group_ != nullptr) {
    parallel_.emplace(task_->module(), *group_, config_);
  } else {
    optimizer_ = make_optimizer(task_->module(), config_.optimizer);
  }
  total_steps_ = config_.steps ? *config_.steps : task_->steps_in_epochs(*config_.epochs);
  start_from(start);
  if (!is_root()) return;
  write_file(directory_->file("config.yaml"), to_yaml(config_));
  metrics_.emplace(*directory_, config_.tensorboard, step_ > 0 ? std::optional(step_) : std::nullopt);
  if (step_ > 0 && config_.telemetry_every > 0) {
    if (const std::string path = *directory_->last_checkpoint() + "/" + kTelemetryFile;
        std::filesystem::exists(path)) {
      metrics_->load_telemetry(path);
    }
  }
}

void Trainer::open_directory(StartMode start) {
  directory_.emplace(config_.output_dir);
  const auto last = directory_->last_checkpoint();
  if (start == StartMode::fresh && last) {
    fail(directory_->path(),
         ": holds a run already; go on with --resume, begin anew with --overwrite, or choose another folder "
         "with --set output_dir=DIR");
  }
  if (start == StartMode::overwrite) directory_->clear();
  if (start == StartMode::resume && last) check_resumable(*last);
}

void Trainer::load_task(StartMode start) {
  if (is_root()) {
    TaskStart from{.ranks = group_ == nullptr ? 1 : group_->size()};
    if (start == StartMode::resume) from.checkpoint = directory_->last_checkpoint().value_or("");
    task_ = make_task(config_, device_, from);
  }
  if (group_ == nullptr) return;
  // Where ranks share a folder, the others find there what rank 0 has prepared.
  TrainConfig own = config_;
  const SharedTokenizer tokenizer(*group_, own);
  if (!is_root()) {
    task_ = make_task(own, device_, {.ranks = group_->size(), .owns_folder = false});
    own.tokenizer.path = config_.tokenizer.path;
    config_ = own;
  }
  check_same(*group_, "training data", task_->data_checksum());
  check_same(*group_, "weights in model.from", task_->base_fingerprint());
  task_->set_share(group_->share());
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
  std::string last;
  if (is_root() && start == StartMode::resume) last = directory_->last_checkpoint().value_or("");
  if (group_ != nullptr) last = group_->broadcast(last);
  if (!last.empty()) {
    load_checkpoint(last);
  } else if (is_root()) {
    directory_->drop_metrics_after(-1);  // of a run that ended before its first checkpoint
  }
  if (parallel_) parallel_->broadcast_parameters();
  task_->begin([&](torch::Tensor tensor) {
    if (group_ != nullptr) group_->broadcast(std::move(tensor), 0);
  });
}

void Trainer::save_optimizer_to(const std::string& path) {
  if (parallel_) {
    parallel_->save_optimizer(step_, path);
  } else {
    save_optimizer(*optimizer_, config_.optimizer, task_->module(), step_, path);
  }
}

void Trainer::save_checkpoint(bool is_best) {
  if (!is_root()) return save_optimizer_to("");  // its share goes to rank 0
  directory_->add_checkpoint(step_, is_best, config_.keep_checkpoints, [&](const std::string& directory) {
    task_->save(directory);
    save_optimizer_to(directory + "/" + kOptimizerFile);
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
  Json state = is_root() ? read_json_file(state_path) : Json();
  if (group_ != nullptr) state = parse_json(group_->broadcast(dump_json(state)), state_path);
  set_state(state, state_path);
  if (is_root()) task_->load(directory);
  const std::string optimizer_path = directory + "/" + kOptimizerFile;
  if (parallel_) {
    parallel_->load_optimizer(step_, optimizer_path);
  } else {
    load_optimizer(*optimizer_, config_.optimizer, task_->module(), step_, optimizer_path);
  }
  if (!is_root()) return;
  directory_->drop_metrics_after(step_);
  std::fprintf(stderr, "resuming %s at step %lld of %lld\n", directory.c_str(), static_cast<long long>(step_),
               static_cast<long long>(total_steps_));
}

void Trainer::set_state(const Json& state, const std::string& state_path) {
  try {
    if (state.at("data") != task_->data_checksum()) {
      fail(state_path, ": cannot resume with other training data than the run began with");
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
}

std::string Trainer::where_the_last_good_is() const {
  if (!directory_) return "";
  const auto last = directory_->last_checkpoint();
  return last ? cat("; the last good checkpoint is ", *last)
              : std::string("; no checkpoint was written before");
}

void Trainer::fail_diverged(const std::string& reason) const {
  fail("training diverged at step ", step_, ": ", reason,
       "; lower train.learning_rate or set train.clip_norm", where_the_last_good_is());
}

Trainer::Totals Trainer::compute_gradients() {
  task_->begin_step(step_);
  Totals batch;
  // Parts, and those of ranks, may have unlike numbers of targets, so sums are added up and divided once.
  const bool sums = config_.accumulation > 1 || config_.sum_loss || parallel_;
  for (int64_t part = 0; part < config_.accumulation; ++part) {
    const PartLoss loss = task_->loss(step_, part);
    const auto count = static_cast<double>(loss.count);
    const double mean = loss.count == 0 ? 0.0 : loss.mean.item<double>();
    batch.loss += mean * count;
    batch.correct += loss.correct;
    batch.seen += loss.count;
    if (parallel_ && part + 1 == config_.accumulation) parallel_->sum_in_next_backward();
    if (loss.count == 0) continue;
    (sums ? loss.mean * count : loss.mean).backward();
  }
  interrupted_ = tool::interrupted();
  if (parallel_) {
    parallel_->finish_backward();
    std::vector<double> figures = {batch.loss, static_cast<double>(batch.correct),
                                   static_cast<double>(batch.seen), interrupted_ ? 1.0 : 0.0};
    parallel_->sum(figures);
    batch = {figures[0], static_cast<int64_t>(figures[1]), static_cast<int64_t>(figures[2])};
    interrupted_ = figures[3] > 0;
  }
  if (sums && !config_.sum_loss) {
    const torch::NoGradGuard no_grad;
    const double scale = 1.0 / static_cast<double>(std::max<int64_t>(batch.seen, 1));
    for (const torch::Tensor& parameter : task_->module().parameters()) {
      if (parameter.grad().defined()) parameter.grad().mul_(scale);
    }
  }
  return batch;
}

void Trainer::train_step() {
  uint64_t seed = mix_seed(config_.seed, static_cast<uint64_t>(step_));
  // Ranks drop other units, as rows do.
  if (!is_root()) seed = mix_seed(seed, static_cast<uint64_t>(group_->rank()));
  torch::manual_seed(seed >> 1);
  torch::optim::Optimizer& optimizer = parallel_ ? parallel_->optimizer() : *optimizer_;
  set_learning_rate(optimizer, learning_rate_at(config_.optimizer, step_, total_steps_));
  set_weight_decay(optimizer, config_.optimizer.kind,
                   weight_decay_at(config_.optimizer, step_, total_steps_));
  parallel_ ? parallel_->begin_step() : optimizer.zero_grad();
  Totals batch;
  try {
    batch = compute_gradients();
  } catch (const NotFiniteError& e) {  // latent weights overflowed in the step before
    fail_diverged(e.what());
  }
  // Without a limit the norm is computed all the same: a step on gradients that are not finite would spoil
  // the model.
  const double limit =
      config_.optimizer.clip_norm > 0 ? config_.optimizer.clip_norm : std::numeric_limits<double>::infinity();
  gradient_norm_ = torch::nn::utils::clip_grad_norm_(task_->module().parameters(), limit);
  const double mean = batch.seen == 0 ? 0.0 : batch.loss / static_cast<double>(batch.seen);
  if (const auto reason = divergence_.check(mean, gradient_norm_)) {
    fail_diverged(*reason);
  }
  parallel_ ? parallel_->step() : step(optimizer);
  ++step_;
  totals_.loss += batch.loss;
  totals_.correct += batch.correct;
  totals_.seen += batch.seen;
}

Evaluation Trainer::evaluate() {
  Evaluation result = task_->evaluate();
  if (!parallel_) return result;
  std::vector<double> figures = {result.loss * static_cast<double>(result.total),
                                 static_cast<double>(result.correct), static_cast<double>(result.total)};
  parallel_->sum(figures);
  result.loss = figures[0] / std::max(figures[2], 1.0);
  result.correct = static_cast<int64_t>(figures[1]);
  result.total = static_cast<int64_t>(figures[2]);
  result.predictions.clear();  // of this rank alone
  return result;
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
    last_evaluation_ = evaluate();
  } catch (const NotFiniteError& e) {
    fail_diverged(e.what());
  } catch (...) {
    if (parallel_) throw;    // the other ranks are elsewhere, and would not help to save
    save_checkpoint(false);  // what was learnt is not lost with the evaluation
    throw;
  }
  if (!std::isfinite(last_evaluation_.loss))
    fail_diverged(cat("the loss of the evaluation is ", last_evaluation_.loss));
  std::vector<std::pair<std::string, double>> values = {{"eval_loss", last_evaluation_.loss},
                                                        {"eval_accuracy", last_evaluation_.accuracy()}};
  if (task_->has_perplexity()) values.emplace_back("eval_perplexity", last_evaluation_.perplexity());
  if (metrics_) metrics_->scalars(step_, values);
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
  rate_ = steps * static_cast<double>(config_.batch_size * task_->units_per_row()) / seconds;
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
  if (logs && metrics_) log_step();
  if (metrics_ && config_.telemetry_every > 0 && step_ % config_.telemetry_every == 0) {
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
    if (interrupted_ && step_ < end) return false;
  }
  const int64_t interval = config_.eval_every > 0 ? config_.eval_every : task_->steps_per_epoch();
  const bool is_due = step_ == total_steps_ || (interval > 0 && step_ % interval == 0);
  if (is_due) {
    evaluate_now();
    if (task_->can_evaluate()) progress_text_ += "  " + task_->describe(last_evaluation_);
  }
  progress.finish(progress_text_);
  const int64_t every = config_.sample.every;
  if (is_root() && every >= 0 && (every == 0 ? is_due : step_ % every == 0)) {
    if (const std::string text = task_->sample(step_); !text.empty()) {
      metrics_->sample(step_, text);
      std::fprintf(stderr, "%s\n\n", text.c_str());
    }
  }
  return !interrupted_ || step_ == total_steps_;
}

bool Trainer::run() {
  if (is_root()) {
    const std::string ranks = group_ == nullptr ? "" : tool::count_text(group_->size(), "rank") + ", ";
    std::fprintf(stderr, "%s, %lld parameters, %s%s, writing %s\n", task_->description().c_str(),
                 static_cast<long long>(num_parameters(tensor_table(task_->model_config()))), ranks.c_str(),
                 tool::count_text(at::get_num_threads(), "thread").c_str(), directory_->path().c_str());
  }
  while (step_ < total_steps_) {
    if (!run_round()) {
      if (evaluated_step_ != step_) save_checkpoint(false);
      return false;
    }
  }
  if (evaluated_step_ != step_ && task_->can_evaluate()) last_evaluation_ = evaluate();  // resumed at the end
  return true;
}

}  // namespace rotor::train
