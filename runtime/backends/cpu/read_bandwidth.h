// What memory gives a plain reader: the limit that decoding is held against.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rotor/kernels/kernels.h"
#include "runtime/backends/cpu/thread_pool.h"

namespace rotor::runtime {

/// 1 GiB that no cache holds. Throws Error if there is not so much.
class ReadBandwidth {
 public:
  explicit ReadBandwidth(const kernels::Kernels& kernels);
  ~ReadBandwidth();
  ReadBandwidth(const ReadBandwidth&) = delete;
  ReadBandwidth& operator=(const ReadBandwidth&) = delete;

  /// Bytes a second that the threads of `pool` read together, once.
  double measure(ThreadPool& pool);

 private:
  kernels::Kernels kernels_;
  uint64_t* words_;
  volatile uint64_t sink_ = 0;  // so that nothing is left out
};

}  // namespace rotor::runtime
