// Memory of the CPU backend: a Tensor's floats, and scratch memory that each thread keeps, so that a running
// model allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::runtime {

inline float* data(const Tensor& tensor) {
  return static_cast<float*>(tensor.storage.get());
}

inline float* row(const Tensor& tensor, int64_t index) {
  return data(tensor) + index * tensor.cols;
}

/// Items of `work` multiply-adds each that are worth a thread: waking one costs some microseconds.
inline int64_t grain_of(int64_t work) {
  constexpr int64_t kWorthAThread = 65536;
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, work));
}

/// At least `size` elements that this thread keeps; their contents are unspecified. `Use` is a type that
/// names what for: two uses at once must differ.
template <class T, class Use>
T* scratch(size_t size) {
  thread_local std::vector<T> memory;
  if (memory.size() < size) memory.resize(size);
  return memory.data();
}

}  // namespace rotor::runtime
