// A training run, as its YAML file describes it. Every field has a default that works or is required; the
// resolved config that a run writes is a config file again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rotor/core/model_config.h"
#include "rotor/formats/lora_config.h"
#include "train/data/text_config.h"

namespace rotor::train {

struct ImageDataConfig {
  std::string path;            ///< folder of the IDX files
  std::optional<double> mean;  ///< of the pixels as p/255; measured on the training images if absent
  std::optional<double> std;   ///< likewise
};

/// The tokenizer of a language model: a file, or a SentencePiece model to be trained on the run's text.
struct TokenizerConfig {
  std::string type = "sentencepiece";  ///< sentencepiece | byte_level_bpe; the latter must be there already
  std::string path;  ///< tokenizer.json, tokenizer.model, or a folder with one; empty: train one
  std::string model_type = "unigram";  ///< unigram | bpe | char
  int64_t vocab_size = 0;              ///< required but for char, where 0 takes every character
  bool byte_fallback = true;
  std::optional<double> character_coverage;
};

/// A teacher whose predictions are learnt beside the data's.
struct DistillConfig {
  std::string teacher;           ///< as model.from
  double data_weight = 1.0;      ///< of the cross entropy on the data
  double logits_weight = 1.0;    ///< of the divergence from the teacher's predictions
  double temperature = 1.0;      ///< that both predictions are softened by
  double relation_weight = 0.0;  ///< of the divergence of relations between hidden states; 0: none
  int64_t relation_layer = 0;    ///< of the student, from 1; 0: the last. The teacher's is as deep, by share
  int64_t relation_heads = 8;    ///< parts that hidden states are split into for it
};

enum class OptimizerKind { adam, adamw, sgd };
enum class ScheduleKind { constant, linear, cosine, two_stage };

struct OptimizerConfig {
  OptimizerKind kind = OptimizerKind::adamw;
  double learning_rate = 1e-3;
  std::vector<double> betas = {0.9, 0.999};  ///< of adam and adamw
  double eps = 1e-8;                         ///< likewise
  double momentum = 0.9;                     ///< of sgd
  double weight_decay = 0.0;  ///< on the matrices of linear layers; never on norms, biases, embeddings
  ScheduleKind schedule = ScheduleKind::cosine;
  int64_t warmup_steps = 0;           ///< linear, from 0
  double final_learning_rate = 0.0;   ///< where linear, cosine and two_stage end
  double second_learning_rate = 0.0;  ///< of two_stage: peak of its second half; 0: 2/3 of learning_rate
  double clip_norm = 1.0;             ///< 0: gradients are not clipped
  bool bfloat16_state = false;        ///< moments of adam and adamw in half the memory
  bool state_on_disk = false;         ///< they lie in a mapped file in output_dir
  std::string state_directory;        ///< where; set by the trainer
};

/// Text that the model writes now and then while it is trained.
struct SampleConfig {
  int64_t every = 0;  ///< steps; 0: at each evaluation; -1: never
  std::string prompt;
  int64_t tokens = 64;
  double temperature = 0.8;
};

/// Training on several ranks (train/distributed/).
struct DistributedConfig {
  double bucket_mb = 16;  ///< gradients that are summed over ranks at once, 10^6 bytes
  double timeout = 60;    ///< seconds to wait for ranks at the start; of silence, until one counts as gone
};

struct TrainConfig {
  std::string output_dir;
  uint64_t seed = 1;
  std::string device = "cpu";
  int64_t threads = 0;  ///< of LibTorch; 0: all cores
  /// Where a model to go on with is: a checkpoint directory, a GGUF file, a .rotor file; empty: fresh
  /// weights.
  std::string from;
  ModelConfig model;               ///< of `from`, once that was opened, but for `quantization`
  std::optional<LoraConfig> lora;  ///< adapters alone are trained; with `from`
  std::optional<DistillConfig> distill;
  double dpo_beta = 0.1;      ///< of preferences: how far the model may go from where it began
  ImageDataConfig images;     ///< if the model is an mlp
  TextDataConfig text;        ///< if it is a transformer
  TokenizerConfig tokenizer;  ///< likewise, without `from`
  OptimizerConfig optimizer;
  std::optional<int64_t> epochs;  ///< one of epochs and steps is set; language models count steps
  std::optional<int64_t> steps;
  int64_t batch_size = 128;
  bool sum_loss = false;  ///< over the targets of a batch, as BitNet fine-tuning does; else their mean
  int64_t quantizer_warmup_steps = 0;     ///< over which layers become ternary, linearly; 0: they are at once
  int64_t accumulation = 1;               ///< parts that a batch is computed in, to save memory
  std::string dtype = "float32";          ///< float32 | bfloat16: what products are computed in
  bool activation_checkpointing = false;  ///< transformers: less memory, a third more work
  double memory_gb = 0.0;         ///< transformers: 10^9 bytes that a process may take; 0: what is free
  int64_t keep_checkpoints = 2;   ///< besides the last and the best
  int64_t eval_every = 0;         ///< steps; 0: at the end of each epoch
  int64_t eval_windows = 0;       ///< transformers: validation windows or rows an evaluation; 0: all
  int64_t log_every = 100;        ///< steps between lines of metrics.jsonl
  int64_t telemetry_every = 100;  ///< steps between counts of ternary weights; 0: none
  bool tensorboard = true;        ///< write event files as well
  SampleConfig sample;
  DistributedConfig distributed;
};

/// Reads and checks a config file. Throws Error naming file, line, key, expected and found.
TrainConfig load_train_config(const std::string& path, const std::vector<std::string>& overrides);
/// The same for the text of one; `source` names it in errors.
TrainConfig parse_train_config(const std::string& text, const std::string& source);

/// The config with every default written out, as YAML. load_train_config of it gives the same config.
std::string to_yaml(const TrainConfig& config);

/// The keys that decide what a run computes and that differ, as `key: was A, is B`, one a line; empty if a
/// run of `saved` may go on with `current`. Folders, threads, logging and the like may change.
std::string resume_differences(const TrainConfig& saved, const TrainConfig& current);

/// The keys in which the config of a rank differs from that of rank 0, as `key: rank 0 has A, this rank has
/// B`, one a line; empty if the two can train together. Folders and threads are each machine's own.
std::string rank_differences(const TrainConfig& root, const TrainConfig& own);

}  // namespace rotor::train
