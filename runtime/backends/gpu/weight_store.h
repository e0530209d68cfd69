// Weights in a device's memory, found again by where they lie in the machine's: the model file's mapping.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "runtime/backends/backend.h"
#include "runtime/backends/gpu/device.h"

namespace rotor::runtime::gpu {

class WeightStore {
 public:
  explicit WeightStore(Device& device) : device_(device) {}

  /// As Backend::hold. Imported where the device reads the machine's memory, else copied.
  std::shared_ptr<void> hold(std::span<const WeightBytes> weights);

  /// A part of what was asked for: `units` whole units from `first` on.
  struct Piece {
    Binding binding;
    uint64_t first = 0;
    uint64_t units = 0;
  };
  /// Where `bytes`, of which units of `unit` bytes may not be cut, lie on the device: in pieces of at most
  /// `most` units that a kernel can be given. What is not held is copied for as long as a piece lives.
  std::vector<Piece> find(std::span<const uint8_t> bytes, uint64_t unit, uint64_t most = UINT64_MAX);
  /// All of it; it is no more than a kernel can be given.
  Binding find_whole(std::span<const uint8_t> bytes);

 private:
  /// Bytes of the machine that lie in a buffer.
  struct Region {
    const uint8_t* begin = nullptr;
    uint64_t size = 0;
    std::shared_ptr<Buffer> buffer;
    uint64_t offset = 0;
  };
  struct Holder;

  bool import(std::span<const WeightBytes> weights, std::vector<std::shared_ptr<Region>>& regions);
  void copy(std::span<const WeightBytes> weights, std::vector<std::shared_ptr<Region>>& regions);
  std::shared_ptr<Region> known(const uint8_t* begin);

  Device& device_;
  std::map<const uint8_t*, std::weak_ptr<Region>>
      regions_;  // by their beginnings, as long as somebody holds them
};

}  // namespace rotor::runtime::gpu
