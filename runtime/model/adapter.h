// A LoRA adapter in memory, beside the model that it adapts: for each adapted linear layer two dense
// matrices, which ops use as they use any other. Its files are formats/peft_adapter.h; which adapters a
// conversation has is said in engine/session.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/peft_adapter.h"
#include "runtime/backends/backend.h"

namespace rotor::runtime {

/// The linear layers of a block, in the order in which a model counts them.
enum class BlockLinear : uint8_t { query, key, value, output, gate, up, down };
inline constexpr size_t kBlockLinears = 7;

/// Immutable; shared between sessions and threads.
class Adapter {
 public:
  /// What is added to a layer's output y: scale * b (a x).
  struct LowRank {
    LinearWeights a;  ///< [rank, inputs], float16 if the file's is, else float32
    LinearWeights b;  ///< [outputs, rank], likewise
    float scale = 0.0F;
  };

  /// Reads all weights. Throws Error unless they are finite and fit a model of `config`, which messages call
  /// `base`.
  Adapter(const PeftAdapter& files, const ModelConfig& config, const std::string& base);

  /// Directory that it was read from.
  const std::string& path() const { return path_; }
  /// nullptr if that layer is not adapted. `block` is one of the model's.
  const LowRank* find(int64_t block, BlockLinear which) const;
  /// The blocks of the model that it was read for.
  int64_t num_blocks() const { return static_cast<int64_t>(layers_.size() / kBlockLinears); }
  int64_t num_layers() const;
  int64_t largest_rank() const;
  /// Of blocks first .. end - 1, for Backend::hold().
  std::vector<WeightBytes> weights(int64_t first, int64_t end) const;
  /// Bytes of all matrices.
  uint64_t bytes() const;

 private:
  struct Free {
    void operator()(uint8_t* memory) const;
  };
  void allocate(const PeftAdapter& files);
  LinearWeights read(const PeftAdapter& files, const TensorInfo& tensor);

  std::string path_;
  std::vector<std::optional<LowRank>> layers_;  // [blocks * kBlockLinears]
  std::unique_ptr<uint8_t, Free> memory_;       // what they view
  size_t used_ = 0;                             // bytes of it
};

/// An adapter that is added to the base, so many times.
struct ActiveAdapter {
  std::shared_ptr<const Adapter> adapter;
  float weight = 1.0F;  ///< finite

  bool operator==(const ActiveAdapter&) const = default;
};

}  // namespace rotor::runtime
