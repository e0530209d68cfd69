// Rows of text or of conversations through the model.
#include "train/trainer/language_task.h"

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"
#include "rotor/text/open_source.h"
#include "rotor/tool/progress.h"
#include "train/trainer/sample.h"

namespace rotor::train {
namespace {

/// The model begins texts as its training text does: a begin-of-text token that it never saw would only
/// confuse it.
void set_special_tokens(TransformerConfig& model, const text::Tokenizer& tokenizer,
                        const LanguageData& data) {
  const int64_t first = data.first_token();
  model.bos_token_id.reset();
  if (tokenizer.bos() && first == *tokenizer.bos()) model.bos_token_id = first;
  if (tokenizer.eos() && model.eos_token_ids.empty()) model.eos_token_ids = {*tokenizer.eos()};
}

}  // namespace

LanguageTask::LanguageTask(TrainConfig& config, torch::Device device, const TaskStart& start)
    : TransformerTask(config, device, start), data_(open_data()) {
  if (run_model_.is_fresh()) set_special_tokens(config.model.transformer, run_model_.tokenizer(), *data_);
  if (!config.distill || !start.trains) {
    build(config);
    return;
  }
  const text::OpenedSource teacher = text::open_source(config.distill->teacher, {});
  build(config, &teacher.model->config());
  distillation_.emplace(*config.distill, teacher, transformer_options(config), config.model,
                        run_model_.tokenizer(), device);
}

std::unique_ptr<LanguageData> LanguageTask::open_data() {
  const text::Tokenizer& tokenizer = run_model_.tokenizer();
  TextDataConfig data = config_.text;
  if (data.is_chat()) {
    const text::SpecialTokenIds special = run_model_.special_tokens();
    const ChatEncoder encoder(tokenizer, run_model_.chat_template(), special.bos, special.eos);
    return make_chat_data(read_chats(data, encoder, config_.threads), data.block_size);
  }
  if (data.cache_dir.empty()) data.cache_dir = config_.output_dir + "/tokens";
  return make_text_data(open_text_corpus(data, tokenizer, text::tokenizer_hash(run_model_.tokenizer_path()),
                                         tokenizer.bos(), tokenizer.eos(), config_.threads),
                        data.window, data.block_size);
}

std::string LanguageTask::description() const {
  return cat(data_->description(), ", vocabulary of ", model_->config().transformer.vocab_size);
}

int64_t LanguageTask::steps_in_epochs(int64_t epochs) const {
  const int64_t rows = data_->rows_in_epochs(epochs, config_.seed);
  return (rows + config_.batch_size - 1) / config_.batch_size;
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
  const TokenBatch batch = data_->training_rows(request);
  const torch::Tensor inputs = batch.inputs.to(device_);
  const torch::Tensor targets = batch.targets.to(device_).reshape({-1});
  const torch::Tensor segments = batch.segments.defined() ? batch.segments.to(device_) : torch::Tensor();
  torch::Tensor relations;  // hidden states of the layer that a teacher is asked about
  const auto observe = [&](int64_t layer, const torch::Tensor& hidden) {
    if (distillation_ && layer == distillation_->student_layer()) relations = hidden;
  };
  const torch::Tensor logits = model_->forward_observed(inputs, segments, observe);
  const torch::Tensor flat = logits.reshape({-1, logits.size(-1)});
  PartLoss result;
  result.mean = torch::nn::functional::cross_entropy(flat, targets);
  // Counting hits would cost as much as the loss itself; evaluations do it.
  result.count = batch.targets.ne(kNoTarget).sum().item<int64_t>();
  if (distillation_ && result.count > 0) {
    result.mean = distillation_->loss(result.mean, {inputs, targets, segments}, flat, relations);
  }
  return result;
}

Evaluation LanguageTask::evaluate() {
  model_->set_ternary_share(1.0);  // what counts is the model that is exported
  return train::evaluate(model_, *data_, device_, config_.eval_windows, share_);
}

std::string LanguageTask::describe(const Evaluation& evaluation) const {
  return tool::format("validation loss %.4f  perplexity %.2f  next token %.1f %%", evaluation.loss,
                      evaluation.perplexity(), 100.0 * evaluation.accuracy());
}

std::string LanguageTask::sample(int64_t step) {
  model_->set_ternary_share(1.0);
  const uint64_t seed = mix_seed(config_.seed, static_cast<uint64_t>(step));
  if (!config_.text.is_chat()) {
    return sample_text(model_, run_model_.tokenizer(), config_.sample, config_.text.block_size, seed,
                       device_);
  }
  const auto chat_template = run_model_.chat_template();
  if (config_.sample.prompt.empty() || !chat_template) return "";
  text::ChatOptions options;
  options.add_generation_prompt = true;
  const std::string prompt =
      chat_template->render({{{"role", "user"}, {"content", config_.sample.prompt}}}, options);
  return sample_answer(model_, run_model_.tokenizer(), prompt, run_model_.stop_tokens(), config_.sample,
                       config_.text.block_size, seed, device_);
}

}  // namespace rotor::train
