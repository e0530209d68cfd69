// Where a model runs: which of its layers a device computes, and which the CPU because the device's memory
// has no room for them; and that the CPU goes on with all of them when the device is lost.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

/// How many tokens' logits a session computes at once.
inline constexpr int64_t kHeadRows = 16;

struct PlacementOptions {
  static constexpr int64_t kAsManyAsFit = -1;
  static constexpr int64_t kAll = std::numeric_limits<int64_t>::max();

  /// Layers on the device, or one of the above. A number above the model's means the head as well.
  int64_t gpu_layers = kAsManyAsFit;
  /// Bytes of the device's memory that may be used; none: those that are free less a tenth, for what its
  /// driver needs.
  std::optional<uint64_t> gpu_memory;
};

/// Bytes of a device's memory that the parts of a model take, with one session.
struct MemoryNeed {
  uint64_t activations = 0;      ///< however few layers there are
  std::vector<uint64_t> layers;  ///< weights and cache of each
  uint64_t head = 0;             ///< embedding, final norm, head, and logits
};
/// `adapters`: those that the session has.
MemoryNeed memory_need(const Transformer& model, const Transformer::StageOptions& session,
                       std::span<const ActiveAdapter> adapters = {});

/// What of a model a device has: its first layers, and maybe embedding and head.
struct Split {
  int64_t layers = 0;
  bool head = false;
};

/// `room`: bytes of the device's memory that may be used; none: it has room for everything. Throws Error
/// saying how many layers fit if more are wanted, or if the head is and does not.
Split choose_split(const MemoryNeed& need, int64_t gpu_layers, std::optional<uint64_t> room);

/// Shared by the sessions of a model, which may be used by several threads.
class Placement {
 public:
  using Warn = std::function<void(const std::string& message)>;

  /// Everything on `backend`. There is nowhere to go when it is lost. Model and backends must outlive this
  /// object, which keeps the weights in the device's memory.
  Placement(const Transformer& model, Backend& backend);
  /// `split` on `device`, the rest on `cpu`. `warn` is called once, if the device is lost.
  Placement(const Transformer& model, Backend& device, Backend& cpu, Split split, Warn warn);

  /// What computes the first layer: the device, unless it has no layers or is lost.
  Backend& backend() const;
  /// What computes the head.
  Backend& head_backend() const;
  int64_t gpu_layers() const { return lost_ ? 0 : split_.layers; }
  bool lost() const { return lost_; }

  /// Keeps an adapter in the device's memory, so that sessions can change to it without bringing it there.
  /// Throws Error if there is no room for it.
  void keep(const Adapter& adapter);

  /// Memory of a session. Throws DeviceLost only if lose() was not called yet.
  std::vector<Transformer::Stage> make_stages(const Transformer::StageOptions& options) const;

  /// Takes note that the device is lost. Returns whether the CPU can go on.
  bool lose(const DeviceLost& error);

 private:
  const Transformer& model_;
  Backend& device_;
  Backend* cpu_ = nullptr;
  Split split_;
  Warn warn_;
  std::once_flag warned_;
  std::atomic<bool> lost_ = false;
  std::mutex mutex_;
  std::vector<std::shared_ptr<void>> held_;
};

}  // namespace rotor::runtime
