// One function a section, both ways.
#include "train/config/train_config.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "train/config/config_document.h"

namespace rotor::train {
namespace {

constexpr int64_t kMany = std::numeric_limits<int64_t>::max();
constexpr double kLarge = std::numeric_limits<double>::max();

const std::vector<std::string> kOptimizers = {"adam", "adamw", "sgd"};
const std::vector<std::string> kSchedules = {"constant", "linear", "cosine"};

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

ModelConfig read_model(ConfigSection section) {
  ModelConfig model;
  model.model_type = section.choice("type", std::nullopt, {"mlp"});
  model.quantization = enum_value(section, "quantization", Quantization::ternary);
  MlpConfig& mlp = model.mlp;
  mlp.layer_sizes = section.integers("layer_sizes", std::nullopt, 1, int64_t{1} << 23);
  mlp.activation = enum_value(section, "activation", mlp.activation);
  mlp.norm = enum_value(section, "norm", mlp.norm);
  mlp.norm_eps = section.number("norm_eps", mlp.norm_eps, 1e-30, 0.1);
  mlp.bias = section.boolean("bias", mlp.bias);
  mlp.dropout = section.number("dropout", mlp.dropout, 0.0, 0.99);
  mlp.sign_threshold = section.number("sign_threshold", mlp.sign_threshold, 0.0, 1e6);
  mlp.class_names = section.texts("class_names", mlp.class_names);
  section.done();
  constexpr int64_t kMaxExactInputs = (int64_t{1} << 24) / 127;  // train/models/ternary_linear.h
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
  try {
    model.validate();
  } catch (const Error& e) {
    section.fail_at("type", e.what());
  }
  return model;
}

DataConfig read_data(ConfigSection section) {
  DataConfig data;
  data.type = section.choice("type", std::nullopt, {"idx"});
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

void read_train(ConfigSection section, TrainConfig& config) {
  if (section.has("steps") == section.has("epochs"))
    section.fail_at("epochs", "expected one of epochs and steps");
  if (section.has("epochs")) config.epochs = section.integer("epochs", std::nullopt, 1, 1'000'000);
  if (section.has("steps")) config.steps = section.integer("steps", std::nullopt, 1, 1'000'000'000);
  section.integer("epochs", 1, 1, kMany);
  section.integer("steps", 1, 1, kMany);
  config.batch_size = section.integer("batch_size", config.batch_size, 1, 1'000'000);
  config.keep_checkpoints = section.integer("keep_checkpoints", config.keep_checkpoints, 0, kMany);
  OptimizerConfig& optimizer = config.optimizer;
  optimizer.kind =
      static_cast<OptimizerKind>(index_of(kOptimizers, section.choice("optimizer", "adamw", kOptimizers)));
  optimizer.learning_rate = section.number("learning_rate", optimizer.learning_rate, 0.0, 1e3);
  optimizer.betas = section.numbers("betas", optimizer.betas, 0.0, 0.999999999);
  if (optimizer.betas.size() != 2)
    section.fail_at("betas", cat("expected two numbers, found ", optimizer.betas.size()));
  optimizer.momentum = section.number("momentum", optimizer.momentum, 0.0, 0.999999999);
  optimizer.weight_decay = section.number("weight_decay", optimizer.weight_decay, 0.0, 1e3);
  optimizer.schedule =
      static_cast<ScheduleKind>(index_of(kSchedules, section.choice("schedule", "cosine", kSchedules)));
  optimizer.warmup_steps = section.integer("warmup_steps", optimizer.warmup_steps, 0, kMany);
  optimizer.final_learning_rate =
      section.number("final_learning_rate", optimizer.final_learning_rate, 0.0, 1e3);
  optimizer.clip_norm = section.number("clip_norm", optimizer.clip_norm, 0.0, kLarge);
  section.done();
}

/// The shortest text that reads back as the same number.
std::string number_text(double value) {
  return dump_json(Json(value));
}

std::vector<std::string> number_texts(const std::vector<double>& values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(number_text(value));
  return texts;
}

void emit_model(YAML::Emitter& out, const ModelConfig& model) {
  const MlpConfig& mlp = model.mlp;
  out << YAML::Key << "model" << YAML::Value << YAML::BeginMap;
  out << YAML::Key << "type" << YAML::Value << model.model_type;
  out << YAML::Key << "quantization" << YAML::Value << name(model.quantization);
  out << YAML::Key << "layer_sizes" << YAML::Value << YAML::Flow << mlp.layer_sizes;
  out << YAML::Key << "activation" << YAML::Value << name(mlp.activation);
  out << YAML::Key << "norm" << YAML::Value << name(mlp.norm);
  out << YAML::Key << "norm_eps" << YAML::Value << number_text(mlp.norm_eps);
  out << YAML::Key << "bias" << YAML::Value << mlp.bias;
  out << YAML::Key << "dropout" << YAML::Value << number_text(mlp.dropout);
  out << YAML::Key << "sign_threshold" << YAML::Value << number_text(mlp.sign_threshold);
  out << YAML::Key << "class_names" << YAML::Value << YAML::Flow << mlp.class_names;
  out << YAML::EndMap;
}

void emit_data(YAML::Emitter& out, const DataConfig& data) {
  out << YAML::Key << "data" << YAML::Value << YAML::BeginMap;
  out << YAML::Key << "type" << YAML::Value << data.type;
  out << YAML::Key << "path" << YAML::Value << data.path;
  if (data.mean) out << YAML::Key << "mean" << YAML::Value << number_text(*data.mean);
  if (data.std) out << YAML::Key << "std" << YAML::Value << number_text(*data.std);
  out << YAML::EndMap;
}

void emit_train(YAML::Emitter& out, const TrainConfig& config) {
  const OptimizerConfig& optimizer = config.optimizer;
  out << YAML::Key << "train" << YAML::Value << YAML::BeginMap;
  if (config.epochs) out << YAML::Key << "epochs" << YAML::Value << *config.epochs;
  if (config.steps) out << YAML::Key << "steps" << YAML::Value << *config.steps;
  out << YAML::Key << "batch_size" << YAML::Value << config.batch_size;
  out << YAML::Key << "optimizer" << YAML::Value << kOptimizers[static_cast<size_t>(optimizer.kind)];
  out << YAML::Key << "learning_rate" << YAML::Value << number_text(optimizer.learning_rate);
  out << YAML::Key << "betas" << YAML::Value << YAML::Flow << number_texts(optimizer.betas);
  out << YAML::Key << "momentum" << YAML::Value << number_text(optimizer.momentum);
  out << YAML::Key << "weight_decay" << YAML::Value << number_text(optimizer.weight_decay);
  out << YAML::Key << "schedule" << YAML::Value << kSchedules[static_cast<size_t>(optimizer.schedule)];
  out << YAML::Key << "warmup_steps" << YAML::Value << optimizer.warmup_steps;
  out << YAML::Key << "final_learning_rate" << YAML::Value << number_text(optimizer.final_learning_rate);
  out << YAML::Key << "clip_norm" << YAML::Value << number_text(optimizer.clip_norm);
  out << YAML::Key << "keep_checkpoints" << YAML::Value << config.keep_checkpoints;
  out << YAML::EndMap;
}

}  // namespace

TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& overrides) {
  const ConfigDocument document(path, overrides);
  ConfigSection root(document);
  TrainConfig config;
  config.output_dir = root.text("output_dir", std::nullopt);
  if (config.output_dir.empty()) root.fail_at("output_dir", "expected a folder");
  config.seed = static_cast<uint64_t>(root.integer("seed", 1, 0, kMany));
  config.device = root.choice("device", "cpu", {"cpu", "cuda"});
  config.threads = root.integer("threads", 0, 0, 4096);
  config.model = read_model(root.section("model"));
  config.data = read_data(root.section("data"));
  read_train(root.section("train"), config);
  ConfigSection eval = root.section("eval");
  config.eval_every = eval.integer("every", config.eval_every, 0, kMany);
  eval.done();
  ConfigSection log = root.section("log");
  config.log_every = log.integer("every", config.log_every, 1, kMany);
  log.done();
  root.done();
  return config;
}

std::string to_yaml(const TrainConfig& config) {
  YAML::Emitter out;
  out.SetBoolFormat(YAML::TrueFalseBool);
  out << YAML::BeginMap;
  out << YAML::Key << "output_dir" << YAML::Value << config.output_dir;
  out << YAML::Key << "seed" << YAML::Value << config.seed;
  out << YAML::Key << "device" << YAML::Value << config.device;
  out << YAML::Key << "threads" << YAML::Value << config.threads;
  emit_model(out, config.model);
  emit_data(out, config.data);
  emit_train(out, config);
  out << YAML::Key << "eval" << YAML::Value << YAML::BeginMap << YAML::Key << "every" << YAML::Value
      << config.eval_every << YAML::EndMap;
  out << YAML::Key << "log" << YAML::Value << YAML::BeginMap << YAML::Key << "every" << YAML::Value
      << config.log_every << YAML::EndMap;
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

std::string resume_key(const TrainConfig& config) {
  const TrainConfig defaults;
  TrainConfig key = config;
  key.output_dir = defaults.output_dir;
  key.threads = defaults.threads;
  key.data.path = defaults.data.path;
  key.keep_checkpoints = defaults.keep_checkpoints;
  key.log_every = defaults.log_every;
  return to_yaml(key);
}

}  // namespace rotor::train
