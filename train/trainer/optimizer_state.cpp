// One description of each optimizer's state serves both ways.
#include "train/trainer/optimizer_state.h"

#include <functional>
#include <memory>
#include <sstream>
#include <vector>

#include "rotor/core/error.h"

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

/// The tensors of a parameter's state in the order of state_names, and the step count if the optimizer has
/// one.
struct StateView {
  std::vector<std::function<torch::Tensor()>> read;
  std::vector<std::function<void(torch::Tensor)>> write;
  std::function<void(int64_t)> set_step = [](int64_t) {};
};

template <class State>
StateView adam_view(State& state) {
  return {.read = {[&] { return state.exp_avg(); }, [&] { return state.exp_avg_sq(); }},
          .write = {[&](torch::Tensor t) { state.exp_avg(std::move(t)); },
                    [&](torch::Tensor t) { state.exp_avg_sq(std::move(t)); }},
          .set_step = [&](int64_t step) { state.step(step); }};
}

StateView view_of(torch::optim::OptimizerParamState& state, OptimizerKind kind) {
  if (kind == OptimizerKind::adam) return adam_view(static_cast<torch::optim::AdamParamState&>(state));
  if (kind == OptimizerKind::adamw) return adam_view(static_cast<torch::optim::AdamWParamState&>(state));
  auto& sgd = static_cast<torch::optim::SGDParamState&>(state);
  return {.read = {[&] { return sgd.momentum_buffer(); }},
          .write = {[&](torch::Tensor t) { sgd.momentum_buffer(std::move(t)); }}};
}

}  // namespace

std::vector<std::string> state_names(const OptimizerConfig& config) {
  if (config.kind != OptimizerKind::sgd) return {"exp_avg", "exp_avg_sq"};
  if (config.momentum == 0) return {};
  return {"momentum_buffer"};
}

std::vector<torch::Tensor> state_tensors(torch::optim::Optimizer& optimizer, OptimizerKind kind,
                                         const torch::Tensor& parameter) {
  torch::optim::OptimizerParamState* state = find_state(optimizer, parameter);
  std::vector<torch::Tensor> tensors;
  if (state == nullptr) return tensors;
  for (const auto& read : view_of(*state, kind).read) {
    if (const torch::Tensor tensor = read(); tensor.defined()) tensors.push_back(tensor);
  }
  return tensors;
}

torch::optim::OptimizerParamState& state_of(torch::optim::Optimizer& optimizer, OptimizerKind kind,
                                            const torch::Tensor& parameter) {
  auto& states = optimizer.state();
  auto& state = states[state_key<std::decay_t<decltype(states)>>(parameter)];
  if (state == nullptr) {
    state = make_state(kind);
    view_of(*state, kind).set_step(0);
  }
  return *state;
}

void set_state(torch::optim::Optimizer& optimizer, OptimizerKind kind, const torch::Tensor& parameter,
               int64_t step, const std::vector<torch::Tensor>& tensors) {
  auto state = make_state(kind);
  const StateView view = view_of(*state, kind);
  view.set_step(step);
  const auto* holder = dynamic_cast<const MomentHolder*>(&optimizer);
  for (size_t i = 0; i < tensors.size(); ++i) {
    view.write[i](holder == nullptr ? tensors[i] : holder->placed(tensors[i]));
  }
  auto& states = optimizer.state();
  states[state_key<std::decay_t<decltype(states)>>(parameter)] = std::move(state);
}

void write_state_file(const std::string& path, int64_t step, const std::vector<StateTensor>& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const StateTensor& tensor : tensors) declarations.push_back({tensor.name, DType::f32, tensor.shape});
  SafetensorsWriter writer(path, {{kStepKey, cat(step)}}, declarations);
  for (const StateTensor& tensor : tensors) {
    const torch::Tensor values = tensor.read().detach().to(torch::kCPU, torch::kFloat32).contiguous();
    writer.write({static_cast<const uint8_t*>(values.data_ptr()), values.nbytes()});
  }
  writer.commit();
}

StateFile::StateFile(const std::string& path, int64_t step) : file_(path) {
  const auto found = file_.metadata().find(kStepKey);
  if (found == file_.metadata().end() || found->second != cat(step)) {
    fail(path, ": step: expected ", step, ", found ",
         found == file_.metadata().end() ? "none" : found->second);
  }
}

torch::Tensor StateFile::read(const std::string& name, const std::vector<int64_t>& shape) const {
  const TensorInfo& info = file_.at(name);
  if (info.shape != shape) {
    fail(file_.path(), ": tensor \"", name, "\": expected shape ", shape_text(shape), ", found ",
         shape_text(info.shape));
  }
  std::vector<float> values = file_.read<float>(name);
  return torch::from_blob(values.data(), shape, torch::kFloat32).clone();
}

void StateFile::expect_tensors(size_t number) const {
  if (file_.tensors().size() == number) return;
  fail(file_.path(), ": expected ", number, " tensors for this model and optimizer, found ",
       file_.tensors().size());
}

void save_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path) {
  const auto names = state_names(config);
  std::vector<StateTensor> tensors;
  for (const auto& parameter : module.named_parameters()) {
    const auto states = state_tensors(optimizer, config.kind, parameter.value());
    for (size_t i = 0; i < states.size(); ++i) {
      tensors.push_back({cat(names[i], ".", parameter.key()), states[i].sizes().vec(),
                         [state = states[i]] { return state; }});
    }
  }
  write_state_file(path, step, tensors);
}

void load_optimizer(torch::optim::Optimizer& optimizer, const OptimizerConfig& config,
                    const torch::nn::Module& module, int64_t step, const std::string& path) {
  const StateFile file(path, step);
  const auto names = state_names(config);
  size_t expected = 0;
  for (const auto& parameter : module.named_parameters()) {
    if (step == 0 || names.empty() || !parameter->requires_grad()) continue;
    std::vector<torch::Tensor> states;
    for (const std::string& name : names) {
      states.push_back(
          file.read(cat(name, ".", parameter.key()), parameter->sizes().vec()).to(parameter->device()));
      ++expected;
    }
    set_state(optimizer, config.kind, parameter.value(), step, states);
  }
  file.expect_tensors(expected);
}

}  // namespace rotor::train
