// Every call is counted, checked and handed on to the CPU backend.
#include "tests/support/pretend_device.h"

#include <algorithm>
#include <set>
#include <stdexcept>

namespace rotor::test {

using runtime::InputNorm;
using runtime::KvCache;
using runtime::Projection;
using runtime::Tensor;
using runtime::WantedLogits;
using runtime::WeightBytes;

/// `owner` tells the memory of one device from another's, and from the CPU backend's, which is no Memory:
/// that is why all that are alive are known.
struct PretendDevice::Memory {
  const PretendDevice* owner = nullptr;
  Tensor tensor;
  KvCache cache;
  std::shared_ptr<Counts> counts;
  uint64_t bytes = 0;

  inline static std::set<const void*> alive;

  Memory() { alive.insert(this); }
  ~Memory() {
    alive.erase(this);
    counts->bytes -= bytes;
  }
};

PretendDevice::PretendDevice(Options options)
    : options_(std::move(options)),
      cpu_(runtime::make_backend("cpu", 1)),
      counts_(std::make_shared<Counts>()),
      held_(std::make_shared<std::vector<std::span<const uint8_t>>>()) {}

PretendDevice::~PretendDevice() = default;

void PretendDevice::count_call() {
  const int64_t call = counts_->calls++;
  if (lose_at_ && call >= *lose_at_) throw runtime::DeviceLost("pretended");
  if (call == fail_at_) throw Error("pretended failure");
}

std::optional<uint64_t> PretendDevice::free_memory() const {
  if (!options_.memory) return std::nullopt;
  return *options_.memory - counts_->bytes;
}

std::shared_ptr<PretendDevice::Memory> PretendDevice::take(uint64_t bytes) {
  if (options_.memory && counts_->bytes + bytes > *options_.memory) fail("pretend: no memory");
  auto memory = std::make_shared<Memory>();
  memory->owner = this;
  memory->counts = counts_;
  memory->bytes = bytes;
  counts_->bytes += bytes;
  counts_->most_bytes = std::max(counts_->most_bytes, counts_->bytes);
  return memory;
}

const PretendDevice::Memory& PretendDevice::own(const std::shared_ptr<void>& storage) const {
  if (!Memory::alive.contains(storage.get())) throw std::logic_error(options_.name + ": memory of the CPU");
  const auto& memory = *static_cast<const Memory*>(storage.get());
  if (memory.owner != this) throw std::logic_error(options_.name + ": memory of another device");
  return memory;
}

Tensor PretendDevice::inner(const Tensor& tensor) const {
  Tensor result = own(tensor.storage).tensor;
  if (tensor.rows > result.rows || tensor.cols != result.cols) throw std::logic_error("shape of a tensor");
  result.rows = tensor.rows;
  return result;
}

KvCache PretendDevice::inner(const KvCache& cache) const {
  return own(cache.storage).cache;
}

std::vector<Projection> PretendDevice::inner(std::span<const Projection> projections) const {
  std::vector<Projection> result(projections.begin(), projections.end());
  for (Projection& projection : result) projection.y = inner(projection.y);
  return result;
}

void PretendDevice::need(const void* data) {
  if (!options_.needs_weights_held || data == nullptr) return;
  const bool is_held = std::ranges::any_of(*held_, [&](std::span<const uint8_t> bytes) {
    return data >= bytes.data() && data < bytes.data() + bytes.size();
  });
  if (!is_held) throw std::logic_error(options_.name + ": weights that are not held");
}

void PretendDevice::need(const InputNorm& norm, std::span<const Projection> projections) {
  need(norm.gain.data());
  for (const Projection& projection : projections) {
    need(projection.weights->ternary.tiles.data());
    need(projection.weights->dense.data);
    need(projection.weights->dense.row_scales.data());
    need(projection.weights->bias.data());
  }
}

void PretendDevice::need(const RopeTable& rope) {
  need(rope.cos.data());
  need(rope.sin.data());
}

std::shared_ptr<void> PretendDevice::hold(std::span<const WeightBytes> weights) {
  count_call();
  uint64_t bytes = 0;
  for (const WeightBytes& part : weights) {
    if (part.bytes.empty() || part.unit == 0 || part.bytes.size() % part.unit != 0) {
      throw std::logic_error("units of weights");
    }
    bytes += part.bytes.size();
  }
  const auto memory = take(bytes);
  std::vector<std::span<const uint8_t>> parts;
  for (const WeightBytes& part : weights) parts.push_back(part.bytes);
  held_->insert(held_->end(), parts.begin(), parts.end());
  return {static_cast<void*>(memory.get()), [memory, parts, held = held_](void*) {
            std::erase_if(*held, [&](auto there) {
              return std::ranges::any_of(parts, [&](auto part) { return part.data() == there.data(); });
            });
          }};
}

Tensor PretendDevice::allocate(int64_t rows, int64_t cols) {
  count_call();
  const auto memory = take(static_cast<uint64_t>(rows * cols) * sizeof(float));
  memory->tensor = cpu_->allocate(rows, cols);
  return {rows, cols, memory};
}

KvCache PretendDevice::allocate_kv_cache(const KvCache& shape) {
  count_call();
  const auto rows = static_cast<uint64_t>(2 * shape.layers * shape.heads * shape.pages * shape.page_tokens);
  const uint64_t row_bytes = static_cast<uint64_t>(shape.head_dim) * dense_bytes(shape.type) +
                             (shape.type == runtime::KvType::q8 ? sizeof(float) : 0);
  const auto memory = take(rows * row_bytes);
  memory->cache = cpu_->allocate_kv_cache(shape);
  KvCache result = shape;
  result.storage = memory;
  return result;
}

void PretendDevice::upload(std::span<const float> values, const Tensor& tensor) {
  count_call();
  ++counts_->uploads;
  cpu_->upload(values, inner(tensor));
}

void PretendDevice::download(const Tensor& tensor, std::span<float> values) {
  count_call();
  ++counts_->downloads;
  cpu_->download(inner(tensor), values);
}

void PretendDevice::download_wanted(const Tensor& logits, const WantedLogits& wanted,
                                    std::span<float> values) {
  count_call();
  ++counts_->downloads;
  cpu_->download_wanted(inner(logits), wanted, values);
}

void PretendDevice::embed(const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y) {
  count_call();
  need(table.data);
  need(table.row_scales.data());
  cpu_->embed(table, ids, inner(y));
}

void PretendDevice::copy_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& y) {
  count_call();
  cpu_->copy_rows(inner(x), rows, inner(y));
}

void PretendDevice::linear(const Tensor& x, const InputNorm& norm, std::span<const Projection> projections) {
  count_call();
  need(norm, projections);
  cpu_->linear(inner(x), norm, inner(projections));
}

void PretendDevice::gated_linear(const Tensor& gate, const Tensor& up, Activation kind, const InputNorm& norm,
                                 std::span<const Projection> projections) {
  count_call();
  need(norm, projections);
  cpu_->gated_linear(inner(gate), inner(up), kind, norm, inner(projections));
}

int64_t PretendDevice::screened_head(const Tensor& x, const runtime::ScreenedHead& head,
                                     const WantedLogits& wanted, const Tensor& y) {
  count_call();
  return cpu_->screened_head(inner(x), head, wanted, inner(y));
}

void PretendDevice::rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) {
  count_call();
  need(gain.data());
  cpu_->rms_norm(inner(x), gain, eps, inner(y));
}

void PretendDevice::activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) {
  count_call();
  cpu_->activation(inner(x), kind, threshold, inner(y));
}

void PretendDevice::gate(const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y) {
  count_call();
  cpu_->gate(inner(gate), inner(up), kind, inner(y));
}

void PretendDevice::rope(const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) {
  count_call();
  need(table);
  cpu_->rope(inner(x), head_dim, table, position);
}

void PretendDevice::append_kv(const KvCache& cache, int64_t layer, std::span<const runtime::TextRows> texts,
                              const RopeTable& rope, const Tensor& q, const Tensor& k, const Tensor& v) {
  count_call();
  need(rope);
  cpu_->append_kv(inner(cache), layer, texts, rope, inner(q), inner(k), inner(v));
}

void PretendDevice::attention(const Tensor& q, const KvCache& cache, int64_t layer,
                              std::span<const runtime::TextRows> texts, const Tensor& y) {
  count_call();
  cpu_->attention(inner(q), inner(cache), layer, texts, inner(y));
}

}  // namespace rotor::test
