// Memory is asked for before the model is made.
#include "train/trainer/transformer_task.h"

#include <cstdio>

#include "rotor/tool/progress.h"
#include "train/trainer/memory_plan.h"
#include "train/trainer/schedule.h"

namespace rotor::train {

void TransformerTask::build(const TrainConfig& config, const ModelConfig* teacher) {
  config_ = config;
  if (start_.trains) {
    const MemoryPlan plan = plan_memory(config, teacher, start_.ranks);
    if (device_.is_cpu()) require_memory(plan, config);
    if (start_.owns_folder) {
      std::fprintf(stderr, "memory: about %s; %lld numbers are trained\n", plan.text().c_str(),
                   static_cast<long long>(plan.trained));
    }
  }
  model_ = run_model_.build(config_, device_);
}

void TransformerTask::begin_step(int64_t step) {
  model_->set_ternary_share(ternary_share_at(step, config_.quantizer_warmup_steps));
}

}  // namespace rotor::train
