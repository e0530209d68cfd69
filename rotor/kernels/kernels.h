// The CPU kernels: which sets there are, which one runs, and a handle that counts calls, so that a test can
// ask which kernel really ran.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "rotor/kernels/kernel_set.h"

namespace rotor::kernels {

/// One registered set and how often its functions were called through a Kernels handle.
struct RegisteredSet {
  const KernelSet* set;
  std::atomic<uint64_t> calls = 0;
};

/// All sets built into this program, slowest first; the first one, `scalar`, is the reference and runs
/// everywhere.
std::span<RegisteredSet> registered_sets();

/// A kernel set in use. Copies are cheap; all methods may be called from several threads.
class Kernels {
 public:
  explicit Kernels(RegisteredSet& entry) : entry_(&entry) {}

  const char* name() const { return entry_->set->name; }
  uint64_t calls() const { return entry_->calls.load(); }

  /// The functions of the set; counts one call.
  const KernelSet* operator->() const {
    entry_->calls.fetch_add(1, std::memory_order_relaxed);
    return entry_->set;
  }

 private:
  RegisteredSet* entry_;
};

/// The set named `name`. Throws Error listing the sets if there is none of that name, or if this machine
/// cannot run it.
Kernels find_kernels(const std::string& name);

/// The set that ROTOR_KERNELS names, else the fastest that this machine can run. Throws Error as
/// find_kernels.
Kernels choose_kernels();

}  // namespace rotor::kernels
