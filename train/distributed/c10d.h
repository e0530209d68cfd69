// What Rotor uses of LibTorch's c10d, under names that are the same from 1.13 to 2.x. Included by this
// folder's sources only, and only in builds that have c10d.
#pragma once

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#ifdef ROTOR_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#include <torch/types.h>
#include <torch/version.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace rotor::train {

#if TORCH_VERSION_MAJOR >= 2
using Collectives = c10d::Backend;
#else
using Collectives = c10d::ProcessGroup;
#endif

struct StoreOptions {
  std::string address;
  int64_t port = 0;
  bool hosts = false;  ///< rank 0
  std::chrono::milliseconds timeout{};
};

/// Texts as the store holds them.
std::vector<uint8_t> bytes_of(const std::string& text);
std::string text_of(const std::vector<uint8_t>& bytes);
/// Of a message of LibTorch, what is not its backtrace.
std::string first_line(const std::string& text);

/// A connection to the store of the run, which the one with `hosts` makes. Throws what c10d throws.
c10::intrusive_ptr<c10d::Store> open_store(const StoreOptions& options);

/// The collectives of a device. `address`: of rank 0; Gloo listens on the interface that leads there, or on
/// GLOO_SOCKET_IFNAME. Throws Error if this build has none for the device.
c10::intrusive_ptr<Collectives> make_collectives(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                 int size, torch::Device device, const std::string& address);

}  // namespace rotor::train
