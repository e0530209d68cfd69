// The formulas are those of LibTorch's optimizers, in their order of operations.
#include "train/trainer/lean_adam.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"

namespace rotor::train {
namespace {

constexpr int64_t kGrain = 32768;

/// A bfloat16 from a float: up or down, as 16 random bits say. Their mean is the float.
c10::BFloat16 round_at_random(float value, uint32_t random) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7F800000U) == 0x7F800000U) return value;  // infinite or NaN
  return {static_cast<uint16_t>((bits + (random & 0xFFFFU)) >> 16), c10::BFloat16::from_bits()};
}

void store(float& place, float value, uint32_t /*random*/) {
  place = value;
}
void store(c10::BFloat16& place, float value, uint32_t random) {
  place = round_at_random(value, random);
}

template <class Moment>
void step_on_cpu(const torch::Tensor& parameter, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
                 const torch::Tensor& exp_avg_sq, const AdamStep& how) {
  auto* p = parameter.data_ptr<float>();
  const auto* g = gradient.data_ptr<float>();
  auto* m = exp_avg.data_ptr<Moment>();
  auto* v = exp_avg_sq.data_ptr<Moment>();
  const auto count = static_cast<double>(how.step);
  const auto correction1 = 1.0 - std::pow(how.beta1, count);
  const auto root2 = static_cast<float>(std::sqrt(1.0 - std::pow(how.beta2, count)));
  const auto size = static_cast<float>(how.learning_rate / correction1);
  const auto beta1 = static_cast<float>(how.beta1);
  const auto beta2 = static_cast<float>(how.beta2);
  const auto rest1 = static_cast<float>(1.0 - how.beta1);
  const auto rest2 = static_cast<float>(1.0 - how.beta2);
  const auto eps = static_cast<float>(how.eps);
  const auto decay = static_cast<float>(how.weight_decay);
  const auto keep = static_cast<float>(1.0 - how.learning_rate * how.weight_decay);
  const uint64_t seed = mix_seed(how.seed, static_cast<uint64_t>(how.step));
  at::parallel_for(0, parameter.numel(), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float gradient_here = g[i];
      if (how.decoupled) {
        p[i] *= keep;
      } else if (decay != 0.0F) {
        gradient_here += decay * p[i];
      }
      const float first = static_cast<float>(m[i]) * beta1 + rest1 * gradient_here;
      const float second = static_cast<float>(v[i]) * beta2 + rest2 * gradient_here * gradient_here;
      p[i] -= size * (first / (std::sqrt(second) / root2 + eps));
      uint64_t random = 0;
      if constexpr (!std::is_same_v<Moment, float>) random = mix_seed(seed, static_cast<uint64_t>(i));
      store(m[i], first, static_cast<uint32_t>(random));
      store(v[i], second, static_cast<uint32_t>(random >> 32));
    }
  });
}

/// `bytes` of a new file that has no name and is gone with the mapping.
torch::Tensor map_zeros(const std::string& directory, at::IntArrayRef shape, torch::ScalarType type) {
  std::string path = directory + "/moments-XXXXXX";
  const int file = mkstemp(path.data());
  if (file < 0) fail(directory, ": cannot make a file for the optimizer's state: ", std::strerror(errno));
  unlink(path.c_str());
  const auto bytes = static_cast<size_t>(c10::multiply_integers(shape)) * torch::elementSize(type);
  // Space is taken now: a disk that is full later would end the process.
  const int full = bytes == 0 ? 0 : posix_fallocate(file, 0, static_cast<off_t>(bytes));
  void* memory = full != 0
                     ? MAP_FAILED
                     : mmap(nullptr, std::max<size_t>(bytes, 1), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  const int error = full != 0 ? full : errno;
  close(file);
  if (memory == MAP_FAILED) {
    fail(directory, ": cannot map ", bytes, " bytes for the optimizer's state: ", std::strerror(error));
  }
  return torch::from_blob(
      memory, shape, [bytes](void* place) { munmap(place, std::max<size_t>(bytes, 1)); },
      torch::TensorOptions().dtype(type));
}

template <class Base>
struct Parts;
template <>
struct Parts<torch::optim::Adam> {
  using Options = torch::optim::AdamOptions;
  using State = torch::optim::AdamParamState;
  static constexpr OptimizerKind kKind = OptimizerKind::adam;
};
template <>
struct Parts<torch::optim::AdamW> {
  using Options = torch::optim::AdamWOptions;
  using State = torch::optim::AdamWParamState;
  static constexpr OptimizerKind kKind = OptimizerKind::adamw;
};

}  // namespace

torch::Tensor MomentStore::zeros(at::IntArrayRef shape, torch::Device device) const {
  if (!directory_.empty()) return map_zeros(directory_, shape, type_);
  return torch::zeros(shape, torch::TensorOptions().dtype(type_).device(device));
}

void adam_step_by_operations(torch::Tensor parameter, torch::Tensor gradient, torch::Tensor exp_avg,
                             torch::Tensor exp_avg_sq, const AdamStep& how) {
  const auto count = static_cast<double>(how.step);
  if (how.decoupled) {
    parameter.mul_(1.0 - how.learning_rate * how.weight_decay);
  } else if (how.weight_decay != 0.0) {
    gradient = gradient + parameter * how.weight_decay;
  }
  const torch::Tensor first = exp_avg.to(torch::kFloat32) * how.beta1 + gradient * (1.0 - how.beta1);
  const torch::Tensor second =
      exp_avg_sq.to(torch::kFloat32) * how.beta2 + gradient.square() * (1.0 - how.beta2);
  const double root2 = std::sqrt(1.0 - std::pow(how.beta2, count));
  parameter.addcdiv_(first, second.sqrt() / root2 + how.eps,
                     -how.learning_rate / (1.0 - std::pow(how.beta1, count)));
  exp_avg.copy_(first);
  exp_avg_sq.copy_(second);
}

void adam_step(const torch::Tensor& parameter, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
               const torch::Tensor& exp_avg_sq, const AdamStep& how) {
  if (!parameter.is_cpu()) return adam_step_by_operations(parameter, gradient, exp_avg, exp_avg_sq, how);
  const torch::Tensor dense = gradient.contiguous();
  if (exp_avg.scalar_type() == torch::kBFloat16) {
    step_on_cpu<c10::BFloat16>(parameter, dense, exp_avg, exp_avg_sq, how);
  } else {
    step_on_cpu<float>(parameter, dense, exp_avg, exp_avg_sq, how);
  }
}

template <class Base>
torch::Tensor LeanAdam<Base>::step(torch::optim::Optimizer::LossClosure closure) {
  const torch::NoGradGuard no_grad;
  torch::Tensor loss;
  if (closure != nullptr) {
    const torch::AutoGradMode with_grad(true);
    loss = closure();
  }
  uint64_t place = 0;
  for (auto& group : this->param_groups()) {
    const auto& options = static_cast<const typename Parts<Base>::Options&>(group.options());
    for (const torch::Tensor& parameter : group.params()) {
      ++place;
      if (!parameter.grad().defined()) continue;
      auto& state = static_cast<typename Parts<Base>::State&>(state_of(*this, Parts<Base>::kKind, parameter));
      if (!state.exp_avg().defined()) {
        state.exp_avg(store_.zeros(parameter.sizes(), parameter.device()));
        state.exp_avg_sq(store_.zeros(parameter.sizes(), parameter.device()));
      }
      state.step(state.step() + 1);
      adam_step(parameter, parameter.grad(), state.exp_avg(), state.exp_avg_sq(),
                {.learning_rate = options.lr(),
                 .beta1 = std::get<0>(options.betas()),
                 .beta2 = std::get<1>(options.betas()),
                 .eps = options.eps(),
                 .weight_decay = options.weight_decay(),
                 .decoupled = Parts<Base>::kKind == OptimizerKind::adamw,
                 .step = state.step(),
                 .seed = place});
    }
  }
  return loss;
}

template class LeanAdam<torch::optim::Adam>;
template class LeanAdam<torch::optim::AdamW>;

}  // namespace rotor::train
