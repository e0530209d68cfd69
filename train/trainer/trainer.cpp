// The training loop and its state on disk.
#include "train/trainer/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <sstream>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/checksum.h"
#include "rotor/tool/interrupt.h"
#include "train/trainer/optimizer.h"
#include "train/trainer/optimizer_state.h"
#include "train/trainer/schedule.h"

namespace rotor::train {
namespace {

constexpr const char* kStateFile = "trainer.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";

template <class... Args>
std::string format(const char* pattern, Args... args) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), pattern, args...);
  return text.data();
}

/// The first lines that differ, for the message of a resume that is refused.
std::string first_difference(const std::string& a, const std::string& b) {
  std::istringstream lines_a(a);
  std::istringstream lines_b(b);
  std::string line_a;
  std::string line_b;
  while (std::getline(lines_a, line_a) && std::getline(lines_b, line_b)) {
    if (line_a != line_b) break;
  }
  const auto trim = [](const std::string& s) {
    return s.substr(std::min(s.find_first_not_of(' '), s.size()));
  };
  return cat("the checkpoint has \"", trim(line_a), "\", the config says \"", trim(line_b), "\"");
}

}  // namespace

torch::Device make_device(const std::string& name) {
  if (name == "cuda" && !torch::cuda::is_available()) {
    fail(
        "device: cuda: this LibTorch or machine has no usable CUDA; use device: cpu, or build with a CUDA "
        "LibTorch");
  }
  return torch::Device(name);
}

void set_threads(int64_t threads) {
  const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  at::set_num_threads(static_cast<int>(threads == 0 ? cores : threads));
}

Trainer::Trainer(TrainConfig config, StartMode start)
    : config_(std::move(config)), device_(make_device(config_.device)), directory_(config_.output_dir) {
  set_threads(config_.threads);
  load_data();
  torch::manual_seed(config_.seed);
  model_ = TernaryMlp(config_.model);
  model_->to(device_);
  optimizer_ = make_optimizer(*model_, config_.optimizer);
  total_steps_ = config_.steps ? *config_.steps : *config_.epochs * steps_per_epoch();
  start_from(start);
  write_file(directory_.file("config.yaml"), to_yaml(config_));
}

void Trainer::load_data() {
  MlpConfig& mlp = config_.model.mlp;
  IdxDataset train = load_idx(config_.data.path, IdxSplit::train);
  IdxDataset test = load_idx(config_.data.path, IdxSplit::test);
  for (const IdxDataset* data : {&train, &test}) {
    check_idx(*data, config_.data.path, mlp.layer_sizes.front(), mlp.num_classes());
  }
  if (!config_.data.mean) {
    const PixelStatistics statistics = pixel_statistics(train);
    config_.data.mean = statistics.mean;
    config_.data.std = statistics.std;
  }
  mlp.input_mean = *config_.data.mean;
  mlp.input_std = *config_.data.std;
  pixel_table_ = pixel_table(mlp);
  data_checksum_ = checksum(train.pixels) + checksum(train.labels);
  train_data_ = std::make_unique<ImageDataset>(std::move(train));
  test_data_ = std::make_unique<ImageDataset>(std::move(test));
}

void Trainer::start_from(StartMode start) {
  const auto last = directory_.last_checkpoint();
  if (start == StartMode::overwrite) return directory_.clear();
  if (!last) return directory_.drop_metrics_after(-1);  // of a run that ended before its first checkpoint
  if (start == StartMode::resume) return load_checkpoint(*last);
  fail(directory_.path(),
       ": holds a run already; go on with --resume, begin anew with --overwrite, or choose another folder "
       "with "
       "--set output_dir=DIR");
}

void Trainer::save_checkpoint(bool is_best) {
  directory_.add_checkpoint(step_, is_best, config_.keep_checkpoints, [&](const std::string& directory) {
    save_parameters(*model_, config_.model, directory);
    save_optimizer(*optimizer_, config_.optimizer.kind, *model_, step_, directory + "/" + kOptimizerFile);
    const Json state = {{"step", step_},
                        {"epoch_loss", totals_.loss},
                        {"epoch_correct", totals_.correct},
                        {"epoch_seen", totals_.seen},
                        {"best_accuracy", best_accuracy_},
                        {"best_step", best_step_},
                        {"data", data_checksum_},
                        {"config", resume_key(config_)}};
    write_file(directory + "/" + kStateFile, dump_json(state, 2) + "\n");
  });
}

void Trainer::load_checkpoint(const std::string& directory) {
  const std::string state_path = directory + "/" + kStateFile;
  const Json state = read_json_file(state_path);
  try {
    if (const auto saved = state.at("config").get<std::string>(); saved != resume_key(config_)) {
      fail(directory, ": cannot resume with another config: ", first_difference(saved, resume_key(config_)));
    }
    if (state.at("data") != data_checksum_) {
      fail(directory, ": cannot resume with other training images than those in ", config_.data.path);
    }
    step_ = state.at("step").get<int64_t>();
    if (step_ < 0 || step_ > total_steps_) {
      fail(state_path, ": step: expected 0 to ", total_steps_, ", found ", step_);
    }
    totals_ = {state.at("epoch_loss").get<double>(), state.at("epoch_correct").get<int64_t>(),
               state.at("epoch_seen").get<int64_t>()};
    best_accuracy_ = state.at("best_accuracy").get<double>();
    best_step_ = state.at("best_step").get<int64_t>();
  } catch (const Json::exception& e) {
    fail(state_path, ": not a trainer state: ", e.what());
  }
  load_parameters(*model_, Checkpoint(directory));
  load_optimizer(*optimizer_, config_.optimizer, *model_, step_, directory + "/" + kOptimizerFile);
  directory_.drop_metrics_after(step_);
  std::fprintf(stderr, "resuming %s at step %lld of %lld\n", directory.c_str(), static_cast<long long>(step_),
               static_cast<long long>(total_steps_));
}

void Trainer::train_step(std::span<const int64_t> indices) {
  torch::manual_seed(mix_seed(config_.seed, static_cast<uint64_t>(step_)) >> 1);
  const Batch batch = train_data_->batch(indices, pixel_table_, device_);
  torch::Tensor logits;
  try {
    logits = model_->forward(batch.images);
  } catch (const Error& e) {  // latent weights overflowed in the step before
    fail("training diverged at step ", step_, ": ", e.what(),
         "; lower train.learning_rate or set train.clip_norm");
  }
  const torch::Tensor loss = torch::nn::functional::cross_entropy(logits, batch.labels);
  const double loss_value = loss.item<double>();
  optimizer_->zero_grad();
  loss.backward();
  // Without a limit the norm is computed all the same: a step on gradients that are not finite would spoil
  // the model.
  const double limit =
      config_.optimizer.clip_norm > 0 ? config_.optimizer.clip_norm : std::numeric_limits<double>::infinity();
  const double norm = torch::nn::utils::clip_grad_norm_(model_->parameters(), limit);
  if (!std::isfinite(loss_value) || !std::isfinite(norm)) {
    fail("training diverged at step ", step_, ": loss ", loss_value, ", gradient norm ", norm,
         "; lower train.learning_rate or set train.clip_norm");
  }
  optimizer_->step();
  totals_.loss += loss_value * static_cast<double>(indices.size());
  totals_.correct += logits.argmax(-1).eq(batch.labels).sum().item<int64_t>();
  totals_.seen += static_cast<int64_t>(indices.size());
}

bool Trainer::evaluation_is_due() const {
  const int64_t interval = config_.eval_every > 0 ? config_.eval_every : steps_per_epoch();
  return step_ == total_steps_ || step_ % interval == 0;
}

void Trainer::evaluate_now() {
  last_evaluation_ = evaluate(model_, *test_data_, device_);
  evaluated_step_ = step_;
  directory_.log({{"step", step_},
                  {"epoch", static_cast<double>(step_) / static_cast<double>(steps_per_epoch())},
                  {"eval_loss", last_evaluation_.loss},
                  {"eval_accuracy", last_evaluation_.accuracy()}});
  const bool is_best = last_evaluation_.accuracy() > best_accuracy_;
  if (is_best) {
    best_accuracy_ = last_evaluation_.accuracy();
    best_step_ = step_;
  }
  save_checkpoint(is_best);
}

void Trainer::log_step(double learning_rate, double images_per_second) {
  const auto seen = static_cast<double>(std::max<int64_t>(totals_.seen, 1));
  directory_.log({{"step", step_},
                  {"epoch", static_cast<double>(step_) / static_cast<double>(steps_per_epoch())},
                  {"loss", totals_.loss / seen},
                  {"accuracy", static_cast<double>(totals_.correct) / seen},
                  {"learning_rate", learning_rate},
                  {"images_per_second", images_per_second}});
}

bool Trainer::run_epoch() {
  const int64_t first_step = epoch() * steps_per_epoch();
  const int64_t end_step = std::min(first_step + steps_per_epoch(), total_steps_);
  const std::vector<int64_t> order = shuffled_order(train_data_->size(), config_.seed, epoch());
  const int64_t epochs = (total_steps_ + steps_per_epoch() - 1) / steps_per_epoch();
  tool::Progress progress(cat("epoch ", epoch() + 1, "/", epochs), end_step - first_step);
  const int64_t seen_before = totals_.seen;
  std::string text;
  while (step_ < end_step) {
    const int64_t begin = (step_ - first_step) * config_.batch_size;
    const int64_t count = std::min(config_.batch_size, train_data_->size() - begin);
    const double learning_rate = learning_rate_at(config_.optimizer, step_, total_steps_);
    set_learning_rate(*optimizer_, learning_rate);
    train_step(std::span(order).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)));
    ++step_;
    const double rate =
        static_cast<double>(totals_.seen - seen_before) / std::max(progress.elapsed_seconds(), 1e-9);
    const auto seen = static_cast<double>(totals_.seen);
    const auto images_left = static_cast<double>((total_steps_ - step_) * config_.batch_size);
    text = format("loss %.4f  accuracy %.2f %%  %.0f images/s  %s left", totals_.loss / seen,
                  100.0 * static_cast<double>(totals_.correct) / seen, rate,
                  tool::duration_text(images_left / rate).c_str());
    progress.update(step_ - first_step, text);
    if (step_ % config_.log_every == 0) log_step(learning_rate, rate);
    const bool epoch_ends = step_ == first_step + steps_per_epoch();
    if (epoch_ends) totals_ = {};
    if (evaluation_is_due()) evaluate_now();
    if (tool::interrupted() && step_ < total_steps_) return false;
  }
  progress.finish(evaluated_step_ == step_
                      ? format("%s  test loss %.4f  accuracy %.2f %%", text.c_str(), last_evaluation_.loss,
                               100.0 * last_evaluation_.accuracy())
                      : text);
  return true;
}

bool Trainer::run() {
  std::fprintf(stderr, "%lld training and %lld test images, %lld parameters, %s, writing %s\n",
               static_cast<long long>(train_data_->size()), static_cast<long long>(test_data_->size()),
               static_cast<long long>(num_parameters(tensor_table(config_.model))),
               tool::count_text(at::get_num_threads(), "thread").c_str(), directory_.path().c_str());
  while (step_ < total_steps_) {
    if (!run_epoch()) {
      if (evaluated_step_ != step_) save_checkpoint(false);
      return false;
    }
  }
  if (evaluated_step_ != step_)
    last_evaluation_ = evaluate(model_, *test_data_, device_);  // resumed at the end
  return true;
}

}  // namespace rotor::train
