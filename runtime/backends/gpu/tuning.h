// How kernels are shaped for a device: sizes of work groups and what their items share. Chosen by measuring
// (tune.h); any choice gives the same results.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/backends/gpu/device.h"

namespace rotor::runtime::gpu {

struct Tuning {
  uint32_t row_group = 256;     ///< work items of a token's norm and quantization
  uint32_t matvec_rows = 1;     ///< planes times a token: neighbouring rows a work item; 1, 4 or 16
  uint32_t matvec_group = 128;  ///< and work items a tile row
  uint32_t dense_group = 128;   ///< dense matrix times a token: work items a group,
  uint32_t dense_lanes = 32;    ///< how many of them share a row,
  uint32_t dense_block = 2;     ///< and how many rows each of them computes
  uint32_t matmul_tokens = 1;   ///< planes times many tokens: how many share what was unpacked, as for one;
                                ///< 1: in tiles of rows and tokens instead,
  uint32_t matmul_group = 128;  ///< with so many work items
  uint32_t attention_group = 128;  ///< a head of a token
  uint32_t plain_group = 128;      ///< one value a work item

  bool operator==(const Tuning&) const = default;
};

/// A choice that runs on any device and is no bad one on this.
Tuning default_tuning(const DeviceInfo& info);

/// "matvec_rows=4 matvec_group=64 ..." and back. The latter changes what it names of `tuning` and throws
/// Error for a name or a value that cannot be, naming it.
std::string to_text(const Tuning& tuning);
void set_from_text(const std::string& text, const DeviceInfo& info, Tuning& tuning);

}  // namespace rotor::runtime::gpu
