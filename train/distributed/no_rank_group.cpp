// RankGroup in a build whose LibTorch has no process groups: it can be asked for, and says so.
#include "rotor/core/error.h"
#include "train/distributed/rank_group.h"

namespace rotor::train {
namespace {

[[noreturn]] void fail_without() {
  fail(
      "this build trains on one process only: its LibTorch has no process groups (c10d with Gloo), or their "
      "headers were missing when it was built (libgloo-dev)");
}

}  // namespace

struct RankGroup::Connection {};

RankGroup::RankGroup(const Launch& launch, double /*timeout_seconds*/, torch::Device device)
    : share_{launch.rank, launch.size}, device_(device) {
  fail_without();
}
RankGroup::~RankGroup() = default;
std::function<void()> RankGroup::begin_sum(torch::Tensor /*tensor*/) {
  fail_without();
}
void RankGroup::sum(torch::Tensor /*tensor*/) {
  fail_without();
}
std::function<void()> RankGroup::begin_broadcast(torch::Tensor /*tensor*/, int64_t /*root*/) {
  fail_without();
}
void RankGroup::broadcast(torch::Tensor /*tensor*/, int64_t /*root*/) {
  fail_without();
}
std::string RankGroup::broadcast(const std::string& /*text*/) {
  fail_without();
}
void RankGroup::send(const torch::Tensor& /*tensor*/, int64_t /*to*/) {
  fail_without();
}
void RankGroup::receive(torch::Tensor /*tensor*/, int64_t /*from*/) {
  fail_without();
}
void RankGroup::leave() {}
void RankGroup::abandon(const std::string& message, int /*status*/) {
  fail(message);
}

bool has_rank_groups() {
  return false;
}

}  // namespace rotor::train
