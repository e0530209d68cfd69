// One function a section, both ways.
#include "train/config/train_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <limits>

#include "rotor/core/error.h"
#include "train/config/config_document.h"

namespace rotor::train {
namespace {

constexpr int64_t kMany = std::numeric_limits<int64_t>::max();
constexpr double kLarge = std::numeric_limits<double>::max();

const std::vector<std::string> kOptimizers = {"adam", "adamw", "sgd"};
const std::vector<std::string> kSchedules = {"constant", "linear", "cosine", "two_stage"};

size_t index_of(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

template <class Enum>
Enum enum_value(ConfigSection& section, const std::string& key, Enum fallback) {
  const std::string text = section.text(key, name(fallback));
  try {
    return from_name<Enum>(text);
  } catch (const Error& e) {
    section.fail_at(key, e.what());
  }
}

/// One of `allowed`: models have activations that not all of them take.
Activation activation(ConfigSection& section, const std::string& key, Activation fallback,
                      const std::vector<std::string>& allowed) {
  return from_name<Activation>(section.choice(key, name(fallback), allowed));
}

constexpr int64_t kMaxExactInputs = (int64_t{1} << 24) / 127;  // train/models/ternary_linear.h

void read_mlp(ConfigSection& section, ModelConfig& model) {
  MlpConfig& mlp = model.mlp;
  mlp.layer_sizes = section.integers("layer_sizes", std::nullopt, 1, int64_t{1} << 23);
  mlp.activation = activation(section, "activation", mlp.activation, {"relu", "relu2", "sign"});
  mlp.norm = enum_value(section, "norm", mlp.norm);
  mlp.norm_eps = section.number("norm_eps", mlp.norm_eps, 1e-30, 0.1);
  mlp.bias = section.boolean("bias", mlp.bias);
  mlp.dropout = section.number("dropout", mlp.dropout, 0.0, 0.99);
  mlp.sign_threshold = section.number("sign_threshold", mlp.sign_threshold, 0.0, 1e6);
  mlp.class_names = section.texts("class_names", mlp.class_names);
  section.done();
  const int64_t widest =
      mlp.layer_sizes.empty() ? 0 : *std::max_element(mlp.layer_sizes.begin(), mlp.layer_sizes.end());
  if (model.quantization == Quantization::ternary && widest > kMaxExactInputs) {
    section.fail_at("layer_sizes",
                    cat("expected at most ", kMaxExactInputs, " in a ternary model, found ", widest));
  }
  if (mlp.layer_sizes.size() < 2) section.fail_at("layer_sizes", "expected at least two sizes");
  if (!mlp.class_names.empty() && static_cast<int64_t>(mlp.class_names.size()) != mlp.num_classes()) {
    section.fail_at("class_names",
                    cat("expected ", mlp.num_classes(), " names, found ", mlp.class_names.size()));
  }
}

void read_transformer(ConfigSection& section, ModelConfig& model, int64_t block_size) {
  const bool bitnet = model.model_type == "bitnet";
  constexpr int64_t kWide = int64_t{1} << 23;
  TransformerConfig& t = model.transformer;
  // The tokenizer decides, unless the config asks for room.
  t.vocab_size = section.integer("vocab_size", 0, 0, int64_t{1} << 24);
  t.hidden_size = section.integer("hidden_size", std::nullopt, 1, kWide);
  t.intermediate_size = section.integer("intermediate_size", std::nullopt, 1, kWide);
  t.num_hidden_layers = section.integer("num_hidden_layers", std::nullopt, 1, 1024);
  t.num_attention_heads = section.integer("num_attention_heads", std::nullopt, 1, 65536);
  t.num_key_value_heads = section.integer("num_key_value_heads", t.num_attention_heads, 1, 65536);
  t.head_dim = section.integer("head_dim", t.hidden_size / t.num_attention_heads, 1, 65536);
  t.hidden_act = activation(section, "hidden_act", bitnet ? Activation::relu2 : Activation::silu,
                            {"relu2", "silu", "relu"});
  t.max_position_embeddings = section.integer("max_position_embeddings", block_size, 1, int64_t{1} << 24);
  t.rms_norm_eps = section.number("rms_norm_eps", 1e-5, 1e-30, 0.1);
  t.rope_theta = section.number("rope_theta", bitnet ? 500000.0 : 10000.0, 1.0, 1e12);
  t.tie_word_embeddings = section.boolean("tie_word_embeddings", true);
  t.ternary_head = section.choice("lm_head", "none", {"none", "ternary"}) == "ternary";
  t.initializer_range = section.number("initializer_range", 0.02, 1e-9, 1e3);
  t.use_rms_norm = section.boolean("use_rms_norm", false);
  t.linear_norm_eps = section.number("linear_norm_eps", t.linear_norm_eps, 1e-30, 0.1);
  if (section.has("linear_norm_eps") && !t.use_rms_norm) {
    section.fail_at("linear_norm_eps", "expected none without use_rms_norm: true");
  }
  const bool has_names = section.has("modules_to_not_convert");
  const auto names = section.texts("modules_to_not_convert", std::vector<std::string>());
  if (has_names && names != std::vector<std::string>{"lm_head"}) t.modules_to_not_convert = names;
  section.done();
  if (t.max_position_embeddings < block_size) {
    section.fail_at("max_position_embeddings", cat("expected at least data.block_size (", block_size,
                                                   "), found ", t.max_position_embeddings));
  }
  const int64_t widest = std::max({t.hidden_size, t.intermediate_size, t.query_size()});
  if (model.quantization == Quantization::ternary && widest > kMaxExactInputs) {
    section.fail_at("intermediate_size", cat("layers of a ternary model have at most ", kMaxExactInputs,
                                             " inputs, found ", widest));
  }
}

ModelConfig read_model(ConfigSection section, int64_t block_size) {
  ModelConfig model;
  model.model_type = section.choice("type", std::nullopt, {"bitnet", "llama", "qwen2", "mlp"});
  model.quantization = enum_value(section, "quantization", Quantization::ternary);
  if (model.is_transformer()) {
    read_transformer(section, model, block_size);
  } else {
    read_mlp(section, model);
  }
  try {
    ModelConfig complete = model;
    if (model.is_transformer() && model.transformer.vocab_size == 0) complete.transformer.vocab_size = 1;
    complete.validate();
  } catch (const Error& e) {
    section.fail_at("type", e.what());
  }
  return model;
}

ImageDataConfig read_images(ConfigSection section) {
  ImageDataConfig data;
  section.choice("type", std::nullopt, {"idx"});
  data.path = section.text("path", std::nullopt);
  if (section.has("mean") || section.has("std")) {
    data.mean = section.number("mean", std::nullopt, 0.0, 1.0);
    data.std = section.number("std", std::nullopt, 1e-6, 1.0);
  }
  // Asked for once more so that a misspelt key is held against them too.
  section.number("mean", 0.0, 0.0, 1.0);
  section.number("std", 1.0, 1e-6, 1.0);
  section.done();
  return data;
}

/// A model to go on with: its files say what it is.
void read_start(ConfigSection section, TrainConfig& config) {
  config.from = section.text("from", std::nullopt);
  if (config.from.empty()) section.fail_at("from", "expected a checkpoint directory or a model file");
  config.model.model_type = "bitnet";  // until it is opened: some transformer
  config.model.quantization = enum_value(section, "quantization", Quantization::ternary);
  section.done();
}

LoraConfig read_lora(ConfigSection section) {
  LoraConfig lora;
  lora.rank = section.integer("rank", std::nullopt, 1, 65536);
  lora.alpha = section.number("alpha", 2.0 * static_cast<double>(lora.rank), 1e-9, 1e9);
  lora.use_rslora = section.boolean("rslora", false);
  lora.dropout = section.number("dropout", 0.0, 0.0, 0.99);
  const auto targets = section.texts("target_modules", std::vector<std::string>{kAllLinear});
  lora.all_linear = targets == std::vector<std::string>{kAllLinear};
  if (!lora.all_linear) lora.targets.names = targets;
  if (targets.empty())
    section.fail_at("target_modules", cat("expected [", kAllLinear, "], or names of layers"));
  section.done();
  return lora;
}

DistillConfig read_distill(ConfigSection section) {
  DistillConfig distill;
  distill.teacher = section.text("teacher", std::nullopt);
  distill.data_weight = section.number("data_weight", distill.data_weight, 0.0, 1e6);
  distill.logits_weight = section.number("logits_weight", distill.logits_weight, 0.0, 1e6);
  distill.temperature = section.number("temperature", distill.temperature, 0.01, 1e3);
  distill.relation_weight = section.number("relation_weight", distill.relation_weight, 0.0, 1e9);
  distill.relation_layer = section.integer("relation_layer", distill.relation_layer, 0, 1024);
  distill.relation_heads = section.integer("relation_heads", distill.relation_heads, 1, 65536);
  section.done();
  if (distill.logits_weight == 0.0 && distill.relation_weight == 0.0)
    section.fail_at("logits_weight", "nothing is asked of the teacher: this and relation_weight are 0");
  return distill;
}

TextDataConfig read_text(ConfigSection section) {
  TextDataConfig data;
  data.type = section.choice("type", std::nullopt, {"text", "jsonl", "chat", "preference"});
  data.path = section.text("path", std::nullopt);
  data.validation_path = section.text("validation_path", data.validation_path);
  data.validation_fraction = section.number("validation_fraction", data.validation_fraction, 0.0, 0.9);
  data.block_size = section.integer("block_size", data.block_size, 1, int64_t{1} << 24);
  if (data.is_chat()) {
    data.too_long = section.choice("too_long", data.too_long, {"cut", "drop"});
    data.skip_bad = section.boolean("skip_bad", data.skip_bad);
    data.chat_template = section.text("chat_template", data.chat_template);
  } else {
    data.text_field = section.text("text_field", data.text_field);
    data.window = section.choice("window", data.window, {"random", "sequential"});
    data.cache_dir = section.text("cache_dir", data.cache_dir);
  }
  section.done();
  return data;
}

TokenizerConfig read_tokenizer(ConfigSection section) {
  TokenizerConfig tokenizer;
  tokenizer.type = section.choice("type", tokenizer.type, {"sentencepiece", "byte_level_bpe"});
  tokenizer.path = section.text("path", tokenizer.path);
  tokenizer.model_type = section.choice("model_type", tokenizer.model_type, {"unigram", "bpe", "char"});
  tokenizer.vocab_size = section.integer("vocab_size", tokenizer.vocab_size, 0, int64_t{1} << 24);
  tokenizer.byte_fallback = section.boolean("byte_fallback", tokenizer.byte_fallback);
  if (section.has("character_coverage")) {
    tokenizer.character_coverage = section.number("character_coverage", std::nullopt, 0.98, 1.0);
  }
  section.number("character_coverage", 1.0, 0.98, 1.0);
  section.done();
  if (tokenizer.path.empty() && tokenizer.type != "sentencepiece") {
    section.fail_at(
        "type", "only SentencePiece models are trained here; expected tokenizer.path: FILE for this type");
  }
  if (tokenizer.path.empty() && tokenizer.vocab_size == 0 && tokenizer.model_type != "char") {
    section.fail_at("vocab_size", "expected a number of tokens, or tokenizer.path: FILE for one that exists");
  }
  return tokenizer;
}

void read_train(ConfigSection section, TrainConfig& config) {
  if (section.has("steps") == section.has("epochs"))
    section.fail_at("epochs", "expected one of epochs and steps");
  if (section.has("epochs")) config.epochs = section.integer("epochs", std::nullopt, 1, 1'000'000);
  if (section.has("steps")) config.steps = section.integer("steps", std::nullopt, 1, 1'000'000'000);
  section.integer("epochs", 1, 1, kMany);
  section.integer("steps", 1, 1, kMany);
  config.batch_size = section.integer("batch_size", config.batch_size, 1, 1'000'000);
  config.accumulation = section.integer("accumulation", config.accumulation, 1, config.batch_size);
  if (config.batch_size % config.accumulation != 0) {
    section.fail_at("accumulation", cat("expected a divisor of batch_size (", config.batch_size, "), found ",
                                        config.accumulation));
  }
  config.dpo_beta = section.number("dpo_beta", config.dpo_beta, 1e-6, 1e6);
  config.sum_loss = section.choice("loss", "mean", {"mean", "sum"}) == "sum";
  config.quantizer_warmup_steps = section.integer("quantizer_warmup_steps", 0, 0, kMany);
  config.dtype = section.choice("dtype", config.dtype, {"float32", "bfloat16"});
  config.activation_checkpointing =
      section.boolean("activation_checkpointing", config.activation_checkpointing);
  config.memory_gb = section.number("memory_gb", config.memory_gb, 0.0, 1e9);
  config.keep_checkpoints = section.integer("keep_checkpoints", config.keep_checkpoints, 0, kMany);
  OptimizerConfig& optimizer = config.optimizer;
  optimizer.kind =
      static_cast<OptimizerKind>(index_of(kOptimizers, section.choice("optimizer", "adamw", kOptimizers)));
  optimizer.learning_rate = section.number("learning_rate", optimizer.learning_rate, 0.0, 1e3);
  optimizer.betas = section.numbers("betas", optimizer.betas, 0.0, 0.999999999);
  if (optimizer.betas.size() != 2)
    section.fail_at("betas", cat("expected two numbers, found ", optimizer.betas.size()));
  optimizer.eps = section.number("eps", optimizer.eps, 0.0, 1.0);
  optimizer.momentum = section.number("momentum", optimizer.momentum, 0.0, 0.999999999);
  optimizer.weight_decay = section.number("weight_decay", optimizer.weight_decay, 0.0, 1e3);
  optimizer.schedule =
      static_cast<ScheduleKind>(index_of(kSchedules, section.choice("schedule", "cosine", kSchedules)));
  optimizer.warmup_steps = section.integer("warmup_steps", optimizer.warmup_steps, 0, kMany);
  optimizer.final_learning_rate =
      section.number("final_learning_rate", optimizer.final_learning_rate, 0.0, 1e3);
  optimizer.second_learning_rate =
      section.number("second_learning_rate", optimizer.second_learning_rate, 0.0, 1e3);
  optimizer.bfloat16_state = section.choice("state_dtype", "float32", {"float32", "bfloat16"}) == "bfloat16";
  optimizer.state_on_disk = section.boolean("state_on_disk", false);
  for (const char* key : {"state_dtype", "state_on_disk"}) {
    if (optimizer.kind == OptimizerKind::sgd && section.has(key))
      section.fail_at(key, "is for adam and adamw");
  }
  optimizer.clip_norm = section.number("clip_norm", optimizer.clip_norm, 0.0, kLarge);
  section.done();
}

void read_sample(ConfigSection section, SampleConfig& sample) {
  sample.every = section.integer("every", sample.every, -1, kMany);
  sample.prompt = section.text("prompt", sample.prompt);
  sample.tokens = section.integer("tokens", sample.tokens, 1, 100'000);
  sample.temperature = section.number("temperature", sample.temperature, 0.0, 100.0);
  section.done();
}

void read_distributed(ConfigSection section, DistributedConfig& distributed) {
  distributed.bucket_mb = section.number("bucket_mb", distributed.bucket_mb, 0.0, 1e6);
  distributed.timeout = section.number("timeout", distributed.timeout, 1.0, 1e6);
  section.done();
}

TrainConfig read_config(const ConfigDocument& document) {
  ConfigSection root(document);
  TrainConfig config;
  config.output_dir = root.text("output_dir", std::nullopt);
  if (config.output_dir.empty()) root.fail_at("output_dir", "expected a folder");
  config.seed = static_cast<uint64_t>(root.integer("seed", 1, 0, kMany));
  config.device = root.choice("device", "cpu", {"cpu", "cuda"});
  config.threads = root.integer("threads", 0, 0, 4096);
  // A model with images has no tokenizer; asking for `model.type` first decides what the other sections are.
  const bool starts = root.section("model").has("from");
  const bool transformer = starts || root.section("model").text("type", std::nullopt) != "mlp";
  if (transformer) config.text = read_text(root.section("data"));
  if (starts) {
    read_start(root.section("model"), config);
    if (root.has("tokenizer")) root.fail_at("tokenizer", "expected none: it comes with model.from");
    if (root.has("lora")) config.lora = read_lora(root.section("lora"));
  } else {
    config.model = read_model(root.section("model"), config.text.block_size);
    if (root.has("lora")) root.fail_at("lora", "expected model.from, the base that adapters are for");
  }
  if (transformer) {
    if (!starts) config.tokenizer = read_tokenizer(root.section("tokenizer"));
    read_sample(root.section("sample"), config.sample);
    if (root.has("distill")) {
      config.distill = read_distill(root.section("distill"));
      if (config.text.type == "preference") root.fail_at("distill", "is not for preferences");
    }
  } else {
    config.images = read_images(root.section("data"));
  }
  read_train(root.section("train"), config);
  if (config.optimizer.state_on_disk && config.device != "cpu")
    root.section("train").fail_at("state_on_disk", "is for device: cpu");
  if (transformer && !config.steps && !config.text.is_chat())
    root.section("train").fail_at("epochs",
                                  "language models count train.steps, unless they learn from chats");
  if (config.lora && config.quantizer_warmup_steps > 0)
    root.section("train").fail_at("quantizer_warmup_steps",
                                  "is not for adapters, whose base is ternary already");
  if (config.model.quantization == Quantization::none && config.quantizer_warmup_steps > 0)
    root.section("train").fail_at("quantizer_warmup_steps", "is for ternary models");
  if (config.text.type != "preference" && root.section("train").has("dpo_beta"))
    root.section("train").fail_at("dpo_beta", "is for data.type: preference");
  for (const char* key :
       {"accumulation", "activation_checkpointing", "dtype", "loss", "memory_gb", "quantizer_warmup_steps"}) {
    if (!transformer && root.section("train").has(key))
      root.section("train").fail_at(key, "is for language models");
  }
  ConfigSection eval = root.section("eval");
  config.eval_every = eval.integer("every", transformer ? 500 : config.eval_every, 0, kMany);
  if (transformer) config.eval_windows = eval.integer("windows", config.eval_windows, 0, kMany);
  eval.done();
  ConfigSection log = root.section("log");
  config.log_every = log.integer("every", transformer ? 10 : config.log_every, 1, kMany);
  config.telemetry_every =
      log.integer("telemetry_every", std::max(config.telemetry_every, config.log_every), 0, kMany);
  config.tensorboard = log.boolean("tensorboard", config.tensorboard);
  log.done();
  read_distributed(root.section("distributed"), config.distributed);
  root.done();
  return config;
}

}  // namespace

TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& overrides) {
  return read_config(ConfigDocument(path, overrides));
}

TrainConfig parse_train_config(const std::string& text, const std::string& source) {
  return read_config(ConfigDocument::from_text(text, source));
}

}  // namespace rotor::train
