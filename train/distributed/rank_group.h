// The ranks of a run, seen from one of them: sums, broadcasts and messages between them, and what happens
// when one of them fails. Underneath are LibTorch's c10d process groups (Gloo on CPUs, NCCL on GPUs) and its
// store, which rank 0 hosts. It knows nothing of training.
#pragma once

#include <torch/torch.h>

#include <functional>
#include <memory>
#include <string>

#include "train/distributed/launch.h"
#include "train/distributed/rank_share.h"

namespace rotor::train {

/// A rank that is gone, by a signal, a power cut or a cable, ends all others, too: from then on nothing could
/// be computed. A thread watches for it, and ends the process with a message that names the rank, since the
/// main thread may be waiting for bytes that will never come. Files are written under temporary names, so
/// that this loses nothing but the steps since the last checkpoint.
class RankGroup {
 public:
  /// Waits until all ranks are there. Throws Error if rank 0 cannot listen or is not found, if ranks are
  /// missing after `timeout_seconds`, naming them, or if this LibTorch cannot do it on `device`. A rank
  /// without a sign of life for `timeout_seconds` counts as gone.
  RankGroup(const Launch& launch, double timeout_seconds, torch::Device device);
  /// Without leave() before, connections stay as they are: others may be waiting on them.
  ~RankGroup();
  RankGroup(const RankGroup&) = delete;
  RankGroup& operator=(const RankGroup&) = delete;

  int64_t rank() const { return share_.rank; }
  int64_t size() const { return share_.size; }
  bool is_root() const { return share_.rank == 0; }
  RankShare share() const { return share_; }

  // Every rank calls the following in the same order, with tensors of the same shape and type. Tensors are
  // contiguous; those on another device than the group's are copied there and back.

  /// Begins to replace `tensor`, which is on the group's device, by its sum over all ranks. The function that
  /// it returns waits for the end.
  [[nodiscard]] std::function<void()> begin_sum(torch::Tensor tensor);
  void sum(torch::Tensor tensor);
  /// Begins to copy `tensor`, which is on the group's device, from rank `root` to all others.
  [[nodiscard]] std::function<void()> begin_broadcast(torch::Tensor tensor, int64_t root);
  void broadcast(torch::Tensor tensor, int64_t root);
  /// The text of rank 0, on all ranks.
  std::string broadcast(const std::string& text);
  /// From one rank to another; the two of them call it.
  void send(const torch::Tensor& tensor, int64_t to);
  void receive(torch::Tensor tensor, int64_t from);

  /// The orderly end: waits until all ranks are here, then closes the connections.
  void leave();
  /// The end by an error: tells it to the others, who end as well, prints it, and ends the process.
  [[noreturn]] void abandon(const std::string& message, int status = 1);

 private:
  struct Connection;
  RankShare share_;
  torch::Device device_;
  std::unique_ptr<Connection> connection_;
};

/// Whether this build can make a RankGroup.
bool has_rank_groups();

}  // namespace rotor::train
