// Windows of the corpus through the model.
#include "train/trainer/language_task.h"

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/tool/progress.h"
#include "train/data/run_tokenizer.h"
#include "train/models/parameters.h"
#include "train/trainer/sample.h"

namespace rotor::train {
namespace {

TransformerOptions transformer_options(const TrainConfig& config) {
  return {.compute = config.dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32,
          .activation_checkpointing = config.activation_checkpointing,
          .float_activations = false};
}

void fit_vocabulary(TransformerConfig& model, const text::Tokenizer& tokenizer, const std::string& file) {
  if (model.vocab_size == 0) model.vocab_size = tokenizer.vocab_size();
  if (model.vocab_size < tokenizer.vocab_size()) {
    fail(file, ": the tokenizer has ", tokenizer.vocab_size(),
         " tokens, more than the model's vocab_size of ", model.vocab_size,
         ": leave model.vocab_size out, or choose another tokenizer");
  }
}

/// The model begins texts as its training text does: a begin-of-text token that it never saw would only
/// confuse it.
void set_special_tokens(TransformerConfig& model, const text::Tokenizer& tokenizer, const TextDataset& data) {
  const auto first = data.windows(0, 1, 1).inputs[0][0].item<int64_t>();
  model.bos_token_id.reset();
  if (tokenizer.bos() && first == *tokenizer.bos()) model.bos_token_id = first;
  if (tokenizer.eos() && model.eos_token_ids.empty()) model.eos_token_ids = {*tokenizer.eos()};
}

}  // namespace

LanguageTask::LanguageTask(TrainConfig& config, torch::Device device) : device_(device) {
  std::filesystem::create_directories(config.output_dir);
  tokenizer_file_ = prepare_tokenizer(config);
  tokenizer_ = text::load_tokenizer(tokenizer_file_);
  if (!config.tokenizer.path.empty() && tokenizer_->kind() != config.tokenizer.type) {
    fail(tokenizer_file_, ": tokenizer.type: the config says ", config.tokenizer.type, ", the file is of ",
         tokenizer_->kind());
  }
  fit_vocabulary(config.model.transformer, *tokenizer_, tokenizer_file_);
  TextDataConfig data = config.text;
  if (data.cache_dir.empty()) data.cache_dir = config.output_dir + "/tokens";
  corpus_ = open_text_corpus(data, *tokenizer_, text::tokenizer_hash(tokenizer_file_), tokenizer_->bos(),
                             tokenizer_->eos(), config.threads);
  set_special_tokens(config.model.transformer, *tokenizer_, corpus_->train);
  config_ = config;
  model_ = Transformer(config.model, transformer_options(config));
  model_->to(device_);
}

std::string LanguageTask::description() const {
  return cat(corpus_->train.num_tokens(), " training and ", corpus_->validation.num_tokens(),
             " validation tokens, vocabulary of ", model_->config().transformer.vocab_size);
}

PartLoss LanguageTask::loss(int64_t step, int64_t part) {
  const int64_t rows = config_.batch_size / config_.accumulation;
  const auto [own, own_end] = share_.of(rows);
  if (own == own_end) return {};
  const WindowRequest request{.seed = config_.seed,
                              .step = step,
                              .batch_size = config_.batch_size,
                              .block_size = config_.text.block_size,
                              .first_row = part * rows + own,
                              .num_rows = own_end - own};
  const TokenBatch batch = config_.text.window == "random" ? corpus_->train.random_windows(request)
                                                           : corpus_->train.sequential_windows(request);
  const torch::Tensor targets = batch.targets.to(device_).reshape({-1});
  const torch::Tensor segments = batch.segments.defined() ? batch.segments.to(device_) : torch::Tensor();
  const torch::Tensor logits = model_->forward(batch.inputs.to(device_), segments);
  const torch::Tensor flat = logits.reshape({-1, logits.size(-1)});
  PartLoss result;
  result.mean = torch::nn::functional::cross_entropy(flat, targets);
  // Counting hits would cost as much as the loss itself; evaluations do it.
  result.count = batch.targets.ne(kNoTarget).sum().item<int64_t>();
  return result;
}

Evaluation LanguageTask::evaluate() {
  return train::evaluate(
      model_, corpus_->validation, device_,
      {.block_size = config_.text.block_size, .max_windows = config_.eval_windows, .share = share_});
}

std::string LanguageTask::describe(const Evaluation& evaluation) const {
  return tool::format("validation loss %.4f  perplexity %.2f  next token %.1f %%", evaluation.loss,
                      evaluation.perplexity(), 100.0 * evaluation.accuracy());
}

std::string LanguageTask::sample(int64_t step) {
  return sample_text(model_, *tokenizer_, config_.sample, config_.text.block_size,
                     mix_seed(config_.seed, static_cast<uint64_t>(step)), device_);
}

void LanguageTask::save(const std::string& directory) {
  save_parameters(*model_, model_->config(), directory);
  // Under the name by which readers of checkpoints look for it.
  const bool is_json = std::filesystem::path(tokenizer_file_).extension() == ".json";
  write_file(directory + (is_json ? "/tokenizer.json" : "/tokenizer.model"),
             MappedFile(tokenizer_file_).text());
}

void LanguageTask::load(const std::string& directory) {
  const Checkpoint checkpoint(directory);
  if (tensor_table(checkpoint.config()).size() != tensor_table(model_->config()).size()) {
    fail(directory, ": the checkpoint's tensors are not those of the configured model");
  }
  load_parameters(*model_, checkpoint);
}

}  // namespace rotor::train
