// Sums over the tensor table, and a count of what autograd keeps of a layer.
#include "train/trainer/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/peft_adapter.h"
#include "rotor/tool/progress.h"

namespace rotor::train {
namespace {

constexpr double kFloat = 4.0;
/// Code, LibTorch's own tables, stacks: what a program with LibTorch takes without a model.
constexpr double kProgram = 250e6;

struct Counts {
  double ternary = 0.0;  // weights
  double other = 0.0;
  double largest_group = 0.0;  // of layers that read one input, as float codes
  double adapters = 0.0;
};

double count_of(const TensorSpec& spec) {
  double count = 1.0;
  for (const int64_t size : spec.shape) count *= static_cast<double>(size);
  return count;
}

Counts count_weights(const ModelConfig& config, const LoraConfig* lora) {
  const TransformerConfig& t = config.transformer;
  Counts counts;
  for (const TensorSpec& spec : tensor_table(config)) {
    (is_ternary(config, spec) ? counts.ternary : counts.other) += count_of(spec);
    if (lora == nullptr || !can_adapt(spec) || !lora->adapts(module_of(spec))) continue;
    counts.adapters += static_cast<double>(lora->rank_of(module_of(spec)) * (spec.shape[0] + spec.shape[1]));
  }
  counts.largest_group = static_cast<double>(
      t.hidden_size * std::max(2 * t.intermediate_size, t.query_size() + 2 * t.key_value_size()));
  return counts;
}

/// Floats that a layer keeps of a token for the backward pass: the inputs of norms, the normed inputs, codes
/// of quantized inputs, outputs of products and of activations.
double kept_per_token(const TransformerConfig& t, double length) {
  const auto hidden = static_cast<double>(t.hidden_size);
  const auto inner = static_cast<double>(t.intermediate_size);
  const auto attention = static_cast<double>(t.query_size() + t.key_value_size());
  const double scores = static_cast<double>(t.num_attention_heads) * length;
  return 10.0 * hidden + 9.0 * inner + 8.0 * attention + 3.0 * scores;
}

double activation_bytes(const TrainConfig& config, double rows, double length) {
  const TransformerConfig& t = config.model.transformer;
  const double tokens = rows * length;
  const auto layers = static_cast<double>(t.num_hidden_layers);
  const double layer = kept_per_token(t, length) * tokens * kFloat;
  if (!config.activation_checkpointing) return layers * layer;
  return layers * static_cast<double>(t.hidden_size) * tokens * kFloat + layer;
}

double state_per_weight(const OptimizerConfig& config) {
  if (config.state_on_disk) return 0.0;
  if (config.kind != OptimizerKind::sgd) return config.bfloat16_state ? kFloat : 2 * kFloat;
  return config.momentum > 0 ? kFloat : 0.0;
}

/// The number behind `key` in a file of lines "key number"; infinity if there is none.
double number_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    std::istringstream rest(line.substr(key.size()));
    double number = 0.0;
    if (rest >> number) return number;
  }
  return std::numeric_limits<double>::infinity();
}

}  // namespace

double MemoryPlan::total() const {
  double sum = 0.0;
  for (const auto& [name, bytes] : parts) sum += bytes;
  return sum;
}

std::string MemoryPlan::text() const {
  std::string text;
  for (const auto& [name, bytes] : parts) {
    text += cat(text.empty() ? "" : ", ", name, " ", tool::bytes_text(bytes));
  }
  return cat(tool::bytes_text(total()), ": ", text);
}

MemoryPlan plan_memory(const TrainConfig& config, const ModelConfig* teacher, int64_t ranks) {
  const TransformerConfig& t = config.model.transformer;
  const Counts counts = count_weights(config.model, config.lora ? &*config.lora : nullptr);
  const bool frozen = config.lora.has_value();
  const double trained = frozen ? counts.adapters : counts.ternary + counts.other;
  MemoryPlan plan;
  plan.trained = static_cast<int64_t>(trained);
  const auto add = [&](const char* name, double bytes) {
    if (bytes > 0) plan.parts.emplace_back(name, bytes);
  };
  add("weights", (frozen ? counts.ternary / 4 : counts.ternary * kFloat) + counts.other * kFloat);
  add("adapters", counts.adapters * kFloat);
  // Codes as floats: of all layers while latents are trained, else of the layers that are at work.
  add("ternary codes", (frozen ? std::min(counts.largest_group, counts.ternary) : counts.ternary) * kFloat);
  add("gradients", trained * kFloat);
  add("optimizer state", trained * state_per_weight(config.optimizer) / static_cast<double>(ranks));
  const bool pairs = config.text.type == "preference";
  const double part =
      static_cast<double>(config.batch_size) / static_cast<double>(config.accumulation * ranks);
  const double rows = std::max(1.0, part) * (pairs ? 2.0 : 1.0);
  const auto length = static_cast<double>(config.text.block_size);
  add("activations", activation_bytes(config, rows, length));
  // Logits, their log probabilities, and the gradients of both.
  add("logits", 4.0 * rows * length * static_cast<double>(t.vocab_size) * kFloat);
  if (teacher != nullptr) {
    const Counts theirs = count_weights(*teacher, nullptr);
    const double logits = 3.0 * rows * length * static_cast<double>(t.vocab_size);
    add("teacher", theirs.ternary / 4 + (theirs.other + theirs.largest_group + logits) * kFloat);
  }
  add("program", kProgram);
  return plan;
}

double available_memory() {
  const double machine = number_in("/proc/meminfo", "MemAvailable:") * 1024.0;
  const double limit = number_in("/sys/fs/cgroup/memory.max", "");
  const double used = number_in("/sys/fs/cgroup/memory.current", "");
  // What a group has in caches is given back when memory is short.
  const double cached = number_in("/sys/fs/cgroup/memory.stat", "file ");
  const double group = limit - (used - (cached < used ? cached : 0.0));
  return std::min(machine, std::isfinite(limit) && std::isfinite(used) ? group : machine);
}

void require_memory(const MemoryPlan& plan, const TrainConfig& config) {
  const double limit = config.memory_gb > 0 ? config.memory_gb * 1e9 : available_memory();
  if (plan.total() <= limit) return;
  std::string less = "smaller train.batch_size or data.block_size, larger train.accumulation";
  if (!config.activation_checkpointing) less += ", train.activation_checkpointing: true";
  if (config.optimizer.kind != OptimizerKind::sgd && !config.optimizer.state_on_disk) {
    less += config.optimizer.bfloat16_state ? "" : ", train.state_dtype: bfloat16";
    less += ", train.state_on_disk: true (slow)";
  }
  if (!config.lora && !config.from.empty()) less += ", adapters alone (lora: {rank: 16})";
  fail("this run needs about ", plan.text(), "; ",
       config.memory_gb > 0 ? "train.memory_gb allows " : "free are ", tool::bytes_text(limit),
       ". What needs less: ", less, "; train.memory_gb: ", static_cast<int64_t>(plan.total() / 1e9) + 1,
       " tries it all the same");
}

}  // namespace rotor::train
