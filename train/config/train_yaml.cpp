// Configs back to YAML, and the comparison of two.
#include <map>
#include <sstream>

#include <yaml-cpp/yaml.h>

#include "rotor/formats/json.h"
#include "train/config/train_config.h"

namespace rotor::train {
namespace {

/// Writes maps of keys and values.
class Writer {
 public:
  Writer() { out_.SetBoolFormat(YAML::TrueFalseBool); }

  void begin() { out_ << YAML::BeginMap; }
  void begin(const char* key) { out_ << YAML::Key << key << YAML::Value << YAML::BeginMap; }
  void end() { out_ << YAML::EndMap; }
  /// Numbers as the shortest text that reads back as the same one.
  void write(const char* key, double value) { out_ << YAML::Key << key << YAML::Value << number(value); }
  void write(const char* key, const std::string& value) {
    // A string that reads as nothing or as a number would not come back as it was.
    out_ << YAML::Key << key << YAML::Value << YAML::DoubleQuoted << value << YAML::Auto;
  }
  void word(const char* key, const std::string& value) { out_ << YAML::Key << key << YAML::Value << value; }
  void write(const char* key, int64_t value) { out_ << YAML::Key << key << YAML::Value << value; }
  void write(const char* key, uint64_t value) { out_ << YAML::Key << key << YAML::Value << value; }
  void write(const char* key, bool value) { out_ << YAML::Key << key << YAML::Value << value; }
  template <class T>
  void write(const char* key, const std::optional<T>& value) {
    if (value) write(key, *value);
  }
  template <class T>
  void write(const char* key, const std::vector<T>& values) {
    out_ << YAML::Key << key << YAML::Value << YAML::Flow << YAML::BeginSeq;
    for (const T& value : values) {
      if constexpr (std::is_same_v<T, double>) {
        out_ << number(value);
      } else {
        out_ << value;
      }
    }
    out_ << YAML::EndSeq;
  }
  std::string text() const { return std::string(out_.c_str()) + "\n"; }

 private:
  static std::string number(double value) { return dump_json(Json(value)); }
  YAML::Emitter out_;
};

const char* optimizer_name(OptimizerKind kind) {
  return kind == OptimizerKind::adam ? "adam" : kind == OptimizerKind::adamw ? "adamw" : "sgd";
}

const char* schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::constant:
      return "constant";
    case ScheduleKind::linear:
      return "linear";
    case ScheduleKind::cosine:
      return "cosine";
    case ScheduleKind::two_stage:
      return "two_stage";
  }
  return "?";
}

void write_mlp(Writer& out, const MlpConfig& mlp) {
  out.write("layer_sizes", mlp.layer_sizes);
  out.word("activation", name(mlp.activation));
  out.word("norm", name(mlp.norm));
  out.write("norm_eps", mlp.norm_eps);
  out.write("bias", mlp.bias);
  out.write("dropout", mlp.dropout);
  out.write("sign_threshold", mlp.sign_threshold);
  out.write("class_names", mlp.class_names);
}

void write_transformer(Writer& out, const TransformerConfig& t) {
  if (t.vocab_size > 0) out.write("vocab_size", t.vocab_size);
  out.write("hidden_size", t.hidden_size);
  out.write("intermediate_size", t.intermediate_size);
  out.write("num_hidden_layers", t.num_hidden_layers);
  out.write("num_attention_heads", t.num_attention_heads);
  out.write("num_key_value_heads", t.num_key_value_heads);
  out.write("head_dim", t.head_dim);
  out.word("hidden_act", name(t.hidden_act));
  out.write("max_position_embeddings", t.max_position_embeddings);
  out.write("rms_norm_eps", t.rms_norm_eps);
  out.write("rope_theta", t.rope_theta);
  out.write("tie_word_embeddings", t.tie_word_embeddings);
  out.word("lm_head", t.ternary_head ? "ternary" : "none");
  out.write("initializer_range", t.initializer_range);
  if (t.use_rms_norm) {
    out.write("use_rms_norm", true);
    out.write("linear_norm_eps", t.linear_norm_eps);
  }
  out.write("modules_to_not_convert", t.modules_to_not_convert);
}

void write_model(Writer& out, const std::string& from, const ModelConfig& model) {
  out.begin("model");
  if (!from.empty()) {
    out.write("from", from);
    out.word("quantization", name(model.quantization));
    return out.end();
  }
  out.word("type", model.model_type);
  out.word("quantization", name(model.quantization));
  if (model.is_transformer()) {
    write_transformer(out, model.transformer);
  } else {
    write_mlp(out, model.mlp);
  }
  out.end();
}

void write_lora(Writer& out, const LoraConfig& lora) {
  out.begin("lora");
  out.write("rank", lora.rank);
  out.write("alpha", lora.alpha);
  out.write("rslora", lora.use_rslora);
  out.write("dropout", lora.dropout);
  out.write("target_modules", lora.all_linear ? std::vector<std::string>{kAllLinear} : lora.targets.names);
  out.end();
}

void write_distill(Writer& out, const DistillConfig& distill) {
  out.begin("distill");
  out.write("teacher", distill.teacher);
  out.write("data_weight", distill.data_weight);
  out.write("logits_weight", distill.logits_weight);
  out.write("temperature", distill.temperature);
  out.write("relation_weight", distill.relation_weight);
  out.write("relation_layer", distill.relation_layer);
  out.write("relation_heads", distill.relation_heads);
  out.end();
}

void write_text(Writer& out, const TextDataConfig& data) {
  out.begin("data");
  out.word("type", data.type);
  out.write("path", data.path);
  out.write("validation_path", data.validation_path);
  out.write("validation_fraction", data.validation_fraction);
  out.write("block_size", data.block_size);
  if (data.is_chat()) {
    out.word("too_long", data.too_long);
    out.write("skip_bad", data.skip_bad);
    out.write("chat_template", data.chat_template);
  } else {
    out.write("text_field", data.text_field);
    out.word("window", data.window);
    out.write("cache_dir", data.cache_dir);
  }
  out.end();
}

void write_images(Writer& out, const ImageDataConfig& data) {
  out.begin("data");
  out.word("type", "idx");
  out.write("path", data.path);
  out.write("mean", data.mean);
  out.write("std", data.std);
  out.end();
}

void write_tokenizer(Writer& out, const TokenizerConfig& tokenizer) {
  out.begin("tokenizer");
  out.word("type", tokenizer.type);
  out.write("path", tokenizer.path);
  out.word("model_type", tokenizer.model_type);
  out.write("vocab_size", tokenizer.vocab_size);
  out.write("byte_fallback", tokenizer.byte_fallback);
  out.write("character_coverage", tokenizer.character_coverage);
  out.end();
}

void write_train(Writer& out, const TrainConfig& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  out.begin("train");
  out.write("epochs", config.epochs);
  out.write("steps", config.steps);
  out.write("batch_size", config.batch_size);
  if (config.model.is_transformer()) {
    if (config.text.type == "preference") out.write("dpo_beta", config.dpo_beta);
    out.word("loss", config.sum_loss ? "sum" : "mean");
    out.write("quantizer_warmup_steps", config.quantizer_warmup_steps);
    out.write("accumulation", config.accumulation);
    out.word("dtype", config.dtype);
    out.write("activation_checkpointing", config.activation_checkpointing);
    out.write("memory_gb", config.memory_gb);
  }
  out.word("optimizer", optimizer_name(optimizer.kind));
  out.write("learning_rate", optimizer.learning_rate);
  out.write("betas", optimizer.betas);
  out.write("eps", optimizer.eps);
  out.write("momentum", optimizer.momentum);
  out.write("weight_decay", optimizer.weight_decay);
  out.word("schedule", schedule_name(optimizer.schedule));
  out.write("warmup_steps", optimizer.warmup_steps);
  out.write("final_learning_rate", optimizer.final_learning_rate);
  out.write("second_learning_rate", optimizer.second_learning_rate);
  out.write("clip_norm", optimizer.clip_norm);
  if (optimizer.kind != OptimizerKind::sgd) {
    out.word("state_dtype", optimizer.bfloat16_state ? "bfloat16" : "float32");
    out.write("state_on_disk", optimizer.state_on_disk);
  }
  out.write("keep_checkpoints", config.keep_checkpoints);
  out.end();
}

void write_sample(Writer& out, const SampleConfig& sample) {
  out.begin("sample");
  out.write("every", sample.every);
  out.write("prompt", sample.prompt);
  out.write("tokens", sample.tokens);
  out.write("temperature", sample.temperature);
  out.end();
}

/// Without what each machine has for itself.
TrainConfig without_paths(const TrainConfig& config) {
  const TrainConfig defaults;
  TrainConfig key = config;
  key.output_dir = defaults.output_dir;
  key.threads = defaults.threads;
  key.images.path = defaults.images.path;
  key.text.path = defaults.text.path;
  key.text.validation_path = defaults.text.validation_path;
  key.text.cache_dir = defaults.text.cache_dir;
  if (!key.from.empty()) key.from = "a model";  // the checkpoint has what became of it
  if (key.distill) key.distill->teacher = "a model";
  key.tokenizer.path = defaults.tokenizer.path;
  return key;
}

/// What a run computes depends on: the rest at its defaults.
TrainConfig essence(const TrainConfig& config) {
  const TrainConfig defaults;
  TrainConfig key = without_paths(config);
  key.tokenizer = defaults.tokenizer;  // the checkpoint has the tokenizer itself
  key.memory_gb = defaults.memory_gb;
  key.optimizer.state_on_disk = defaults.optimizer.state_on_disk;
  key.keep_checkpoints = defaults.keep_checkpoints;
  key.log_every = defaults.log_every;
  key.telemetry_every = defaults.telemetry_every;
  key.tensorboard = defaults.tensorboard;
  key.sample = defaults.sample;
  key.distributed = defaults.distributed;
  return key;
}

void flatten(const YAML::Node& node, const std::string& path, std::map<std::string, std::string>& out) {
  if (node.IsMap()) {
    for (const auto& entry : node) {
      flatten(entry.second, (path.empty() ? "" : path + ".") + entry.first.as<std::string>(), out);
    }
    return;
  }
  YAML::Emitter emitter;
  emitter << YAML::Flow << node;
  out[path] = emitter.c_str();
}

/// The keys that differ, one a line.
std::string differences(const TrainConfig& a, const TrainConfig& b, const std::string& a_has,
                        const std::string& b_has) {
  std::map<std::string, std::string> of_a;
  std::map<std::string, std::string> of_b;
  flatten(YAML::Load(to_yaml(a)), "", of_a);
  flatten(YAML::Load(to_yaml(b)), "", of_b);
  std::ostringstream text;
  const auto line = [&](const std::string& key, const std::string& in_a, const std::string& in_b) {
    text << (text.tellp() > 0 ? "\n" : "") << key << ": " << a_has << in_a << ", " << b_has << in_b;
  };
  for (const auto& [key, value] : of_a) {
    const auto found = of_b.find(key);
    if (found == of_b.end()) {
      line(key, value, "nothing");
    } else if (found->second != value) {
      line(key, value, found->second);
    }
  }
  for (const auto& [key, value] : of_b) {
    if (!of_a.contains(key)) line(key, "nothing", value);
  }
  return text.str();
}

}  // namespace

std::string to_yaml(const TrainConfig& config) {
  Writer out;
  out.begin();
  out.write("output_dir", config.output_dir);
  out.write("seed", config.seed);
  out.word("device", config.device);
  out.write("threads", config.threads);
  write_model(out, config.from, config.model);
  if (config.model.is_transformer()) {
    if (config.from.empty()) write_tokenizer(out, config.tokenizer);
    if (config.lora) write_lora(out, *config.lora);
    if (config.distill) write_distill(out, *config.distill);
    write_text(out, config.text);
  } else {
    write_images(out, config.images);
  }
  write_train(out, config);
  out.begin("eval");
  out.write("every", config.eval_every);
  if (config.model.is_transformer()) out.write("windows", config.eval_windows);
  out.end();
  out.begin("log");
  out.write("every", config.log_every);
  out.write("telemetry_every", config.telemetry_every);
  out.write("tensorboard", config.tensorboard);
  out.end();
  if (config.model.is_transformer()) write_sample(out, config.sample);
  out.begin("distributed");
  out.write("bucket_mb", config.distributed.bucket_mb);
  out.write("timeout", config.distributed.timeout);
  out.end();
  out.end();
  return out.text();
}

std::string resume_differences(const TrainConfig& saved, const TrainConfig& current) {
  return differences(essence(saved), essence(current), "was ", "is ");
}

std::string rank_differences(const TrainConfig& root, const TrainConfig& own) {
  return differences(without_paths(root), without_paths(own), "rank 0 has ", "this rank has ");
}

}  // namespace rotor::train
