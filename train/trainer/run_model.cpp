// Opened models are copied, not referred to: a run needs the model that it began with no more once it has a
// checkpoint of its own.
#include "train/trainer/run_model.h"

#include <unistd.h>

#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/base_fingerprint.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/tool/progress.h"
#include "train/data/chat_encoder.h"
#include "train/data/run_tokenizer.h"
#include "train/models/adapter.h"
#include "train/models/parameters.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

void fit_vocabulary(TransformerConfig& model, const text::Tokenizer& tokenizer, const std::string& file) {
  if (model.vocab_size == 0) model.vocab_size = tokenizer.vocab_size();
  if (model.vocab_size < tokenizer.vocab_size()) {
    fail(file, ": the tokenizer has ", tokenizer.vocab_size(),
         " tokens, more than the model's vocab_size of ", model.vocab_size,
         ": leave model.vocab_size out, or choose another tokenizer");
  }
}

/// The chat template that data.chat_template names; nothing for the model's own.
std::optional<std::string> read_template(const std::string& name) {
  if (name.empty()) return std::nullopt;
  return name == "plain" ? kPlainChatTemplate : std::string(MappedFile(name).text());
}

}  // namespace

TransformerOptions transformer_options(const TrainConfig& config) {
  return {.compute = config.dtype == "bfloat16" ? torch::kBFloat16 : torch::kFloat32,
          .activation_checkpointing = config.activation_checkpointing,
          .float_activations = false,
          .frozen = config.lora.has_value(),
          .lora = config.lora ? std::make_shared<LoraConfig>(*config.lora) : nullptr};
}

RunModel::TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  if (!path.empty()) fs::remove_all(path, ignored);
}

RunModel::RunModel(TrainConfig& config, const TaskStart& start)
    : template_override_(read_template(config.text.chat_template)) {
  if (start.owns_folder) fs::create_directories(config.output_dir);
  config.from.empty() ? make(config) : open(config, start);
}

void RunModel::open(TrainConfig& config, const TaskStart& start) {
  is_fresh_ = false;
  wants_weights_ = config.lora || start.checkpoint.empty();
  name_ = wants_weights_ ? config.from : start.checkpoint;
  text::OpenedSource opened = text::open_source(name_, {});
  const Quantization quantization = config.model.quantization;
  config.model = opened.model->config();
  if (!config.model.is_transformer())
    fail(name_, ": model.from: expected a language model, found ", config.model.model_type);
  if (config.lora && config.model.quantization != quantization) {
    fail(name_, ": model.quantization: the base of adapters is as it is, ", name(config.model.quantization),
         ", found ", name(quantization), "; rotor-export --ternarize makes a ternary model of a float one");
  }
  config.model.quantization = quantization;
  config.model.validate();
  if (opened.text.tokenizer == nullptr) {
    fail(name_,
         ": model.from: expected a tokenizer (tokenizer.json or tokenizer.model) with the model, found none");
  }
  const int64_t context = config.model.transformer.max_position_embeddings;
  if (context < config.text.block_size) {
    fail(name_, ": data.block_size: expected at most the model's context of ", context, " tokens, found ",
         config.text.block_size);
  }
  source_ = std::move(opened.model);
  text_ = std::move(opened.text);
  if (config.lora) {
    config.lora->base_model = config.from;
    config.lora->base_fingerprint = rotor::base_fingerprint(*source_);
    lora_ = config.lora;
  }
  if (template_override_) text_.replace_chat_template(*template_override_);
  // A copy, since the checkpoint that a run goes on with is removed in time.
  if (start.owns_folder) {
    tokenizer_path_ = config.output_dir + "/tokenizer";
  } else {
    tokenizer_path_ = temporary_.path =
        cat(fs::temp_directory_path().string(), "/rotor-", getpid(), "-tokenizer");
  }
  fs::remove_all(tokenizer_path_);
  fs::create_directories(tokenizer_path_);
  text::write_model_text(text_, tokenizer_path_);
  text_.tokenizer = text::load_tokenizer(tokenizer_path_);
  text_.directory = tokenizer_path_;
}

void RunModel::make(TrainConfig& config) {
  tokenizer_path_ = prepare_tokenizer(config);
  name_ = tokenizer_path_;
  text_.tokenizer = text::load_tokenizer(tokenizer_path_);
  if (!config.tokenizer.path.empty() && text_.tokenizer->kind() != config.tokenizer.type) {
    fail(tokenizer_path_, ": tokenizer.type: the config says ", config.tokenizer.type, ", the file is of ",
         text_.tokenizer->kind());
  }
  fit_vocabulary(config.model.transformer, *text_.tokenizer, tokenizer_path_);
  if (template_override_) text_.replace_chat_template(*template_override_);
}

std::optional<text::ChatTemplate> RunModel::chat_template() const {
  return text::chat_template(text_, text_.template_replaced ? "data.chat_template" : name_);
}

text::SpecialTokenIds RunModel::special_tokens() const {
  return text::special_token_ids(*text_.tokenizer, text_.metadata, text_.tokenizer->vocab_size());
}

std::vector<text::TokenId> RunModel::stop_tokens() const {
  std::vector<text::TokenId> stops = text_.metadata.stop_tokens;
  if (const auto eos = text_.tokenizer->eos(); stops.empty() && eos) stops.push_back(*eos);
  return stops;
}

Transformer RunModel::build(const TrainConfig& config, torch::Device device) {
  Transformer model(config.model, transformer_options(config));
  if (source_ != nullptr && wants_weights_) {
    const auto count = static_cast<int64_t>(tensor_table(config.model).size());
    tool::Progress progress("loading " + name_, count);
    int64_t done = 0;
    load_masters(*model, *source_, [&] { progress.update(++done, ""); });
    const bool lost = !lora_ && config.model.quantization == Quantization::ternary && !source_->has_masters();
    progress.finish(source_->format() +
                    (lost ? "; it holds no latent weights: each begins in the middle of its code" : ""));
  }
  source_.reset();
  model->to(device);
  return model;
}

void RunModel::save(const Transformer& model, const std::string& directory) const {
  if (lora_) {
    save_adapter(*model, *lora_, directory);
  } else {
    save_parameters(*model, model->config(), directory);
  }
  save_text(directory);
}

void RunModel::load(Transformer& model, const std::string& directory) const {
  if (lora_) return load_adapter(*model, *lora_, directory);
  const Checkpoint checkpoint(directory);
  if (tensor_table(checkpoint.config()).size() != tensor_table(model->config()).size()) {
    fail(directory, ": the checkpoint's tensors are not those of the configured model");
  }
  load_parameters(*model, checkpoint);
}

void RunModel::save_text(const std::string& directory) const {
  if (!text_.directory.empty()) {
    text::write_model_text(text_, directory);
  } else {
    // Under the name by which readers of checkpoints look for it.
    const bool is_json = fs::path(tokenizer_path_).extension() == ".json";
    write_file(directory + (is_json ? "/tokenizer.json" : "/tokenizer.model"),
               MappedFile(tokenizer_path_).text());
    if (template_override_) write_file(directory + "/chat_template.jinja", *template_override_);
  }
}

}  // namespace rotor::train
