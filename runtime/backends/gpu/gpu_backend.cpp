// The simple ops here, linear layers and attention in files of their own.
#include "runtime/backends/gpu/gpu_backend.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/backends/gpu/context.h"
#include "runtime/backends/gpu/gpu_attention.h"
#include "runtime/backends/gpu/gpu_linear.h"
#include "runtime/backends/gpu/read_bandwidth.h"
#include "runtime/backends/gpu/tune.h"

namespace rotor::runtime::gpu {
namespace {

constexpr uint32_t kChunk = 32;       // logits of which one work item finds the largest
constexpr int64_t kMostChosen = 512;  // more wanted logits than that come with all others

std::span<const uint8_t> bytes_of(std::span<const float> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}
std::span<uint8_t> bytes_of(std::span<float> values) {
  return {reinterpret_cast<uint8_t*>(values.data()), values.size_bytes()};
}

class GpuBackend final : public Backend {
 public:
  GpuBackend(std::string api, std::unique_ptr<Device> device, std::optional<Tuning> tuning)
      : api_(std::move(api)),
        device_(std::move(device)),
        context_(*device_, default_tuning(device_->info())) {
    context_.set_tuning(tuning ? *tuning : tuning_for(api_, context_));
  }

  std::string name() const override { return api_; }
  std::string kernels() const override { return device_->info().dot_product ? "dot product" : "plain"; }
  std::string device() const override { return device_->info().name; }

  std::optional<uint64_t> free_memory() const override { return device_->free_memory(); }
  std::shared_ptr<void> hold(std::span<const WeightBytes> weights) override {
    const std::lock_guard lock(mutex_);
    return context_.weights().hold(weights);
  }

  double measure_read_bandwidth() override;
  Launches launches() const override {
    const Device::Statistics done = device_->statistics();
    return {done.submitted, done.commands};
  }

  Tensor allocate(int64_t rows, int64_t cols) override {
    auto memory = std::make_shared<TensorMemory>();
    memory->buffer = device_->allocate(static_cast<uint64_t>(rows * cols) * sizeof(float), false);
    return {rows, cols, memory};
  }
  void upload(std::span<const float> values, const Tensor& tensor) override {
    const std::lock_guard lock(mutex_);
    context_.write(Context::whole(tensor), bytes_of(values));
  }
  void download(const Tensor& tensor, std::span<float> values) override {
    const std::lock_guard lock(mutex_);
    const Binding results = context_.results(values.size_bytes());
    const Binding part{results.buffer, 0, values.size_bytes()};
    context_.copy({Context::whole(tensor).buffer, 0, values.size_bytes()}, part);
    context_.read(part, bytes_of(values));
  }
  void download_wanted(const Tensor& logits, const WantedLogits& wanted, std::span<float> values) override;

  void embed(const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    const uint32_t slot = context_.put({reinterpret_cast<const uint32_t*>(ids.data()), ids.size()});
    const uint64_t row_bytes = static_cast<uint64_t>(table.cols) * dense_bytes(table.type);
    const std::span bytes(table.data, static_cast<size_t>(table.rows) * row_bytes);
    const Binding scales = context_.floats(table.row_scales);
    const Kernel& kernel = context_.kernel("embed", {{"TYPE", static_cast<uint32_t>(table.type)}},
                                           context_.tuning().plain_group);
    for (const auto& [rows, first, units] : context_.weights().find(bytes, row_bytes)) {
      context_.run(kernel, {rows, scales, context_.step(), Context::whole(y)},
                   {slot, first, units, table.cols}, {ids.size(), 1, 1});
    }
  }

  void copy_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < rows.size();) {  // rows that lie together travel together
      size_t end = i + 1;
      while (end < rows.size() && rows[end] == rows[end - 1] + 1) ++end;
      const auto count = static_cast<int64_t>(end - i);
      context_.copy(Context::rows(x, rows[i], count), Context::rows(y, static_cast<int64_t>(i), count));
      i = end;
    }
  }

  void linear(const Tensor& x, const InputNorm& norm, std::span<const Projection> projections) override {
    const std::lock_guard lock(mutex_);
    gpu_linear(context_, {.x = x, .norm = norm}, projections);
  }
  void gated_linear(const Tensor& gate, const Tensor& up, Activation kind, const InputNorm& norm,
                    std::span<const Projection> projections) override {
    const std::lock_guard lock(mutex_);
    gpu_linear(context_, {.x = gate, .up = &up, .kind = kind, .norm = norm}, projections);
  }

  void rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    const Kernel& kernel = context_.kernel("rms_norm", {{"SUBGROUPS", device_->info().subgroup_sums}},
                                           context_.tuning().row_group);
    context_.run(kernel, {Context::whole(x), context_.floats(gain), Context::whole(y)}, {x.cols, eps},
                 {static_cast<uint64_t>(x.rows), 1, 1});
  }

  void activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    activate(x, nullptr, kind, threshold, y);
  }
  void gate(const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    activate(gate, &up, kind, 0.0F, y);
  }

  void rope(const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) override {
    const std::lock_guard lock(mutex_);
    const auto count = static_cast<uint64_t>(x.rows * x.cols / 2);
    const uint32_t slot = context_.put(position);
    context_.run_plain(
        "rope", {Context::whole(x), context_.floats(table.cos), context_.floats(table.sin), context_.step()},
        {slot, x.cols / head_dim, head_dim / 2, count}, count);
  }
  KvCache allocate_kv_cache(const KvCache& shape) override {
    const std::lock_guard lock(mutex_);
    return gpu_allocate_kv_cache(context_, shape);
  }
  void append_kv(const KvCache& cache, int64_t layer, std::span<const TextRows> texts, const RopeTable& rope,
                 const Tensor& q, const Tensor& k, const Tensor& v) override {
    const std::lock_guard lock(mutex_);
    gpu_append_kv(context_, cache, layer, texts, rope, q, k, v);
  }
  void attention(const Tensor& q, const KvCache& cache, int64_t layer, std::span<const TextRows> texts,
                 const Tensor& y) override {
    const std::lock_guard lock(mutex_);
    gpu_attention(context_, q, cache, layer, texts, y);
  }

 private:
  void activate(const Tensor& x, const Tensor* up, Activation kind, float threshold, const Tensor& y) {
    const auto count = static_cast<uint64_t>(x.rows * x.cols);
    context_.run_plain(
        "activation",
        {Context::whole(x), up != nullptr ? Context::whole(*up) : context_.nothing(), Context::whole(y)},
        {count, static_cast<uint32_t>(kind), threshold, up != nullptr}, count);
  }

  std::string api_;
  std::unique_ptr<Device> device_;  // first, as all else lies in it
  Context context_;
  std::mutex mutex_;
};

/// The largest ones are found on the device (kernels/top_k_*.comp), so that only they travel.
void GpuBackend::download_wanted(const Tensor& logits, const WantedLogits& wanted, std::span<float> values) {
  const auto count = static_cast<uint64_t>(std::min<int64_t>(wanted.limit, logits.cols));
  const uint32_t group = context_.tuning().plain_group;
  const uint64_t groups = ceil_div(count, uint64_t{group} * kChunk);
  const uint64_t chunks = groups * group;
  if (wanted.count == 0 || wanted.count > kMostChosen || static_cast<uint64_t>(2 * wanted.count) > chunks) {
    return download(logits, values);
  }
  const std::lock_guard lock(mutex_);
  const uint64_t room = std::bit_ceil(static_cast<uint64_t>(4 * wanted.count + 64));
  const uint64_t words = 2 + 2 * room + wanted.ids.size();
  const Binding largest = context_.scratch(Scratch::chunks, chunks * sizeof(uint32_t));
  const Binding found = context_.scratch(Scratch::found, words * sizeof(uint32_t));
  const Binding x = Context::whole(logits);
  const uint32_t slot =
      context_.put({reinterpret_cast<const uint32_t*>(wanted.ids.data()), wanted.ids.size()});
  context_.run(context_.kernel("top_k_chunks", {}, group), {x, largest}, {count, kChunk}, {groups, 1, 1});
  context_.run(context_.kernel("top_k_bound", {}, context_.tuning().row_group), {largest, found},
               {chunks, wanted.count}, {1, 1, 1});
  context_.run(context_.kernel("top_k_gather", {}, group), {x, context_.step(), found},
               {count, room, slot, static_cast<uint64_t>(wanted.ids.size())},
               {std::min<uint64_t>(ceil_div(count, group), 1024), 1, 1});
  const Binding results = context_.results(words * sizeof(uint32_t));
  const Binding part{results.buffer, 0, words * sizeof(uint32_t)};
  context_.copy({found.buffer, 0, part.size}, part);
  std::vector<uint32_t> answer(words);
  context_.read(part, {reinterpret_cast<uint8_t*>(answer.data()), part.size});
  const uint64_t many = answer[1];
  if (many > room) {  // of so many equal logits
    context_.read({x.buffer, 0, values.size_bytes()}, bytes_of(values));
    return;
  }
  std::ranges::fill(values, -std::numeric_limits<float>::infinity());
  for (uint64_t i = 0; i < many; ++i) values[answer[2 + i]] = std::bit_cast<float>(answer[2 + room + i]);
  for (size_t i = 0; i < wanted.ids.size(); ++i) {
    values[static_cast<size_t>(wanted.ids[i])] = std::bit_cast<float>(answer[2 + 2 * room + i]);
  }
}

double GpuBackend::measure_read_bandwidth() {
  const std::lock_guard lock(mutex_);
  return read_bandwidth(context_);
}

}  // namespace

std::unique_ptr<Backend> make_gpu_backend(const std::string& api, std::unique_ptr<Device> device,
                                          std::optional<Tuning> tuning) {
  return std::make_unique<GpuBackend>(api, std::move(device), tuning);
}

}  // namespace rotor::runtime::gpu
