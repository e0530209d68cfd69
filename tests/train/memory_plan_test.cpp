// What a run is said to need, held against what it takes, and refusals.
#include "train/trainer/memory_plan.h"

#include <gtest/gtest.h>

#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor::train {
namespace {

using test::expect_error;

/// BitNet b1.58 2B4T's shape.
TrainConfig large() {
  TrainConfig config;
  config.model.model_type = "bitnet";
  TransformerConfig& t = config.model.transformer;
  t.vocab_size = 128256;
  t.hidden_size = 2560;
  t.intermediate_size = 6912;
  t.num_hidden_layers = 30;
  t.num_attention_heads = 20;
  t.num_key_value_heads = 5;
  t.head_dim = 128;
  config.from = "2b4t";
  config.batch_size = 1;
  config.text.block_size = 256;
  return config;
}

double part(const MemoryPlan& plan, const std::string& name) {
  for (const auto& [found, bytes] : plan.parts) {
    if (found == name) return bytes;
  }
  return 0.0;
}

TEST(MemoryPlan, CountsWhatIsTrained) {
  TrainConfig config = large();
  const MemoryPlan full = plan_memory(config);
  const double parameters = 2412820480;
  EXPECT_EQ(full.trained, 2412820480);
  EXPECT_EQ(part(full, "weights"), 4 * parameters);
  EXPECT_EQ(part(full, "gradients"), 4 * parameters);
  EXPECT_EQ(part(full, "optimizer state"), 8 * parameters);
  EXPECT_EQ(part(plan_memory(config, nullptr, 4), "optimizer state"), 2 * parameters);
  EXPECT_GT(full.total(), 45e9);
  config.optimizer.bfloat16_state = true;
  EXPECT_EQ(part(plan_memory(config), "optimizer state"), 4 * parameters);
  config.optimizer.state_on_disk = true;
  EXPECT_EQ(part(plan_memory(config), "optimizer state"), 0.0);
  config.optimizer.state_on_disk = false;
  config.optimizer.kind = OptimizerKind::sgd;
  config.optimizer.momentum = 0.0;
  EXPECT_EQ(part(plan_memory(config), "optimizer state"), 0.0);

  config.lora = LoraConfig{};
  config.lora->rank = 16;
  config.lora->all_linear = true;
  config.activation_checkpointing = true;
  const MemoryPlan adapters = plan_memory(config);
  // q, o: 2560 + 2560; k, v: 2560 + 640; gate, up, down: 2560 + 6912; rank 16, 30 layers.
  EXPECT_EQ(adapters.trained, 16 * 30 * (2 * 5120 + 2 * 3200 + 3 * 9472));
  EXPECT_LT(adapters.total(), 6e9);
}

TEST(MemoryPlan, WhatDoesNotFitIsRefusedWithWhatNeedsLess) {
  TrainConfig config = large();
  config.memory_gb = 24;
  const MemoryPlan plan = plan_memory(config);
  expect_error([&] { require_memory(plan, config); }, {"weights 9.65 GB", "train.memory_gb allows 24",
                                                       "activation_checkpointing", "lora", "smaller"});
  config.memory_gb = 1000;
  require_memory(plan, config);
  EXPECT_GT(available_memory(), 1e8);
}

}  // namespace
}  // namespace rotor::train
