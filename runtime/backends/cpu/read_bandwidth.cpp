// A buffer in huge pages, summed by all threads at once.
#include "runtime/backends/cpu/read_bandwidth.h"

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <numeric>

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

double ReadBandwidth::measure(ThreadPool& pool) {
  constexpr size_t kPart = size_t{1} << 20;
  std::atomic<uint64_t> total = 0;
  const auto start = std::chrono::steady_clock::now();
  pool.parallel_for(kBytes / kPart, 1, [&](int64_t begin, int64_t end) {
    const auto parts = static_cast<size_t>(end - begin);
    total += kernels_->sum_words(words_ + static_cast<size_t>(begin) * kPart / 8, parts * kPart / 8);
  });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  sink_ = total;
  return static_cast<double>(kBytes) / seconds.count();
}

}  // namespace rotor::runtime
