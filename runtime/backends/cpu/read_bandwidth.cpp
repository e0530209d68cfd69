// A buffer in huge pages, summed by all threads at once.
#include "runtime/backends/cpu/read_bandwidth.h"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr size_t kBytes = size_t{1} << 30;

}  // namespace

ReadBandwidth::ReadBandwidth(const kernels::Kernels& kernels) : kernels_(kernels) {
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("cannot reserve 1 GiB to measure memory bandwidth with; leave it out");
  words_ = static_cast<uint64_t*>(memory);
  madvise(memory, kBytes, MADV_HUGEPAGE);
  std::iota(words_, words_ + kBytes / 8, uint64_t{1});  // untouched pages would all be one page of zeros
}

ReadBandwidth::~ReadBandwidth() {
  munmap(words_, kBytes);
}

double ReadBandwidth::measure(int64_t threads) {
  std::atomic<uint64_t> total = 0;
  const size_t count = kBytes / 8 / static_cast<size_t>(threads);
  const auto start = std::chrono::steady_clock::now();
  {
    std::vector<std::jthread> readers;
    for (int64_t i = 1; i < threads; ++i) {
      readers.emplace_back(
          [&, i] { total += kernels_->sum_words(words_ + static_cast<size_t>(i) * count, count); });
    }
    total += kernels_->sum_words(words_, count);
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  sink_ = total;
  return static_cast<double>(count * static_cast<size_t>(threads) * 8) / seconds.count();
}

}  // namespace rotor::runtime
