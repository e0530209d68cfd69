// One description of each optimizer's state serves both ways.
#include "train/trainer/optimizer_state.h"

#include <functional>
#include <memory>
#include <sstream>
#include <vector>

#include "rotor/core/error.h"
#include "rotor/formats/safetensors.h"

namespace rotor::train {
namespace {

constexpr const char* kStepKey = "step";

/// LibTorch keys its states by the address of the parameter: as text up to 1.13, as a pointer since 2.
template <class Map>
typename Map::key_type state_key(const torch::Tensor& parameter) {
  if constexpr (std::is_same_v<typename Map::key_type, std::string>) {
    std::ostringstream text;
    text << parameter.unsafeGetTensorImpl();
    return text.str();
  } else {
    return parameter.unsafeGetTensorImpl();
  }
}

/// The state of one parameter; nullptr if there is none yet, which an optimizer takes as "no step was made".
torch::optim::OptimizerParamState* find_state(torch::optim::Optimizer& optimizer,
                                              const torch::Tensor& parameter) {
  auto& states = optimizer.state();
  const auto it = states.find(state_key<std::decay_t<decltype(states)>>(parameter));
  return it == states.end() ? nullptr : it->second.get();
}

std::unique_ptr<torch::optim::OptimizerParamState> make_state(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::adam:
      return std::make_unique<torch::optim::AdamParamState>();
    case OptimizerKind::adamw:
      return std::make_unique<torch::optim::AdamWParamState>();
    case OptimizerKind::sgd:
      return std::make_unique<torch::optim::SGDParamState>();
  }
  return nullptr;
}

/// The tensors of a parameter's state by their names in files, and the step count if the optimizer has one.
struct StateView {
  std::vector<std::pair<std::string, std::function<torch::Tensor()>>> read;
  std::vector<std::function<void(torch::Tensor)>> write;
  std::function<void(int64_t)> set_step = [](int64_t) {};
};

template <class State>
StateView adam_view(State& state) {
  return {.read = {{"exp_avg", [&] { return state.exp_avg(); }},
                   {"exp_avg_sq", [&] { return state.exp_avg_sq(); }}},
          .write = {[&](torch::Tensor t) { state.exp_avg(std::move(t)); },
                    [&](torch::Tensor t) { state.exp_avg_sq(std::move(t)); }},
          .set_step = [&](int64_t step) { state.step(step); }};
}

StateView view_of(torch::optim::OptimizerParamState& state, OptimizerKind kind) {
  if (kind == OptimizerKind::adam) return adam_view(static_cast<torch::optim::AdamParamState&>(state));
  if (kind == OptimizerKind::adamw) return adam_view(static_cast<torch::optim::AdamWParamState&>(state));
  auto& sgd = static_cast<torch::optim::SGDParamState&>(state);
  return {.read = {{"momentum_buffer", [&] { return sgd.momentum_buffer(); }}},
          .write = {[&](torch::Tensor t) { sgd.momentum_buffer(std::move(t)); }}};
}

}  // namespace

void save_optimizer(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::nn::Module& module,
                    int64_t step, const std::string& path) {
  std::vector<TensorDeclaration> declarations;
  std::vector<torch::Tensor> tensors;
  for (const auto& parameter : module.named_parameters()) {
    torch::optim::OptimizerParamState* state = find_state(optimizer, parameter.value());
    if (state == nullptr) continue;
    for (const auto& [name, read] : view_of(*state, kind).read) {
      const torch::Tensor tensor = read();
      if (!tensor.defined()) continue;  // SGD without momentum keeps none
      tensors.push_back(tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous());
      declarations.push_back({cat(name, ".", parameter.key()), DType::f32, tensor.sizes().vec()});
    }
  }
  SafetensorsWriter writer(path, {{kStepKey, cat(step)}}, declarations);
  for (const torch::Tensor& tensor : tensors) {
    writer.write({static_cast<const uint8_t*>(tensor.data_ptr()), tensor.nbytes()});
  }
  writer.commit();
}

void load_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path) {
  const SafetensorsFile file(path);
  const auto found_step = file.metadata().find(kStepKey);
  if (found_step == file.metadata().end() || found_step->second != cat(step)) {
    fail(path, ": step: expected ", step, ", found ",
         found_step == file.metadata().end() ? "none" : found_step->second);
  }
  const bool keeps_none = config.kind == OptimizerKind::sgd && config.momentum == 0;
  size_t expected = 0;
  for (const auto& parameter : module.named_parameters()) {
    if (step == 0 || keeps_none || !parameter->requires_grad()) continue;
    auto state = make_state(config.kind);
    const StateView view = view_of(*state, config.kind);
    view.set_step(step);
    for (size_t i = 0; i < view.read.size(); ++i) {
      const TensorInfo& info = file.at(cat(view.read[i].first, ".", parameter.key()));
      if (info.shape != parameter->sizes().vec()) {
        fail(path, ": tensor \"", info.name, "\": expected shape ", shape_text(parameter->sizes().vec()),
             ", found ", shape_text(info.shape));
      }
      std::vector<float> values = file.read<float>(info.name);
      view.write[i](
          torch::from_blob(values.data(), info.shape, torch::kFloat32).clone().to(parameter->device()));
      ++expected;
    }
    auto& states = optimizer.state();
    states[state_key<std::decay_t<decltype(states)>>(parameter.value())] = std::move(state);
  }
  if (expected != file.tensors().size()) {
    fail(path, ": expected ", expected, " tensors for this model and optimizer, found ",
         file.tensors().size());
  }
}

}  // namespace rotor::train
