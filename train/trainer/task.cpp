// The kinds of tasks, one line each, and the device they run on.
#include "train/trainer/task.h"

#include <algorithm>
#include <thread>

#include "rotor/core/error.h"
#include "train/trainer/classifier_task.h"
#include "train/trainer/language_task.h"
#include "train/trainer/preference_task.h"

namespace rotor::train {

std::unique_ptr<Task> make_task(TrainConfig& config, torch::Device device, const TaskStart& start) {
  if (config.text.type == "preference") return std::make_unique<PreferenceTask>(config, device, start);
  if (config.model.is_transformer()) return std::make_unique<LanguageTask>(config, device, start);
  return std::make_unique<ClassifierTask>(config, device);
}

torch::Device make_device(const std::string& name, int64_t index) {
  if (name == "cuda" && !torch::cuda::is_available()) {
    fail(
        "device: cuda: this LibTorch or machine has no usable CUDA; use device: cpu, or build with a CUDA "
        "LibTorch");
  }
  if (name != "cuda") return torch::Device(name);
  if (index >= static_cast<int64_t>(torch::cuda::device_count())) {
    fail("device: cuda: this rank would have GPU ", index, " of this machine, which has ",
         torch::cuda::device_count(), "; start as many ranks as there are GPUs");
  }
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(index)};
}

void set_threads(int64_t threads, int64_t processes) {
  const auto cores = std::max<int64_t>(1, std::thread::hardware_concurrency() / processes);
  at::set_num_threads(static_cast<int>(threads == 0 ? cores : threads));
}

}  // namespace rotor::train
