// Joining, collectives and leaving, on c10d.
#include "train/distributed/rank_group.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/tool/interrupt.h"
#include "train/distributed/c10d.h"
#include "train/distributed/rank_watch.h"

namespace rotor::train {
namespace {

using std::chrono::steady_clock;

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr double kMarginSeconds = 5;
constexpr const char* kSize = "join/size";
constexpr const char* kAll = "join/all";
constexpr const char* kMissing = "join/missing";
constexpr const char* kLeft = "leave";

std::string here_key(int64_t rank) {
  return cat("join/here/", rank);
}

void pause() {
  if (tool::interrupted()) fail("interrupted while ranks were missing");
  std::this_thread::sleep_for(kPoll);
}

std::string missing_ranks(c10d::Store& store, int64_t size) {
  std::string missing;
  for (int64_t rank = 0; rank < size; ++rank) {
    if (store.add(here_key(rank), 0) == 0) missing += cat(missing.empty() ? "" : ", ", rank);
  }
  return missing;
}

c10::intrusive_ptr<c10d::Store> reach_store(const Launch& launch, const StoreOptions& options) {
  try {
    return open_store(options);
  } catch (const std::exception& e) {
    const std::string where = cat(launch.address, ":", launch.port);
    const std::string what = first_line(e.what());
    if (options.hosts) {
      fail("rank 0 cannot listen on port ", launch.port,
           "; is it in use? Choose another one by MASTER_PORT or ROTOR_STORE_PORT (", what, ")");
    }
    fail("rank ", launch.rank, ": rank 0 is missing: nobody answered at ", where, " within ",
         std::chrono::duration<double>(options.timeout).count(), " s (", what, ")");
  }
}

/// Ends the process unless it is destroyed in time: what listens on the port may be anything, and c10d waits
/// without end for what it answers.
class JoinDeadline {
 public:
  JoinDeadline(const Launch& launch, double seconds)
      : thread_([this, launch, seconds] {
          std::unique_lock lock(mutex_);
          if (done_changed_.wait_for(lock, std::chrono::duration<double>(seconds), [&] { return done_; }))
            return;
          std::fprintf(stderr,
                       "rotor-train: rank %lld of %lld: what listens at %s:%lld does not answer as rank 0 "
                       "does; choose another port by MASTER_PORT\n",
                       static_cast<long long>(launch.rank), static_cast<long long>(launch.size),
                       launch.address.c_str(), static_cast<long long>(launch.port));
          std::fflush(stderr);
          std::_Exit(1);
        }) {}
  ~JoinDeadline() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    done_changed_.notify_all();
    thread_.join();
  }
  JoinDeadline(const JoinDeadline&) = delete;
  JoinDeadline& operator=(const JoinDeadline&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable done_changed_;
  bool done_ = false;
  std::thread thread_;  // the last member: it uses the others
};

/// Waits until all ranks are there.
void join(c10d::Store& store, const Launch& launch, double timeout_seconds) {
  const auto deadline = steady_clock::now() + std::chrono::duration<double>(timeout_seconds);
  if (store.add(here_key(launch.rank), 1) != 1) {
    fail("rank ", launch.rank, " is there twice at ", launch.address, ":", launch.port,
         "; is another run using this port? Choose another one by MASTER_PORT");
  }
  if (launch.rank == 0) {
    store.set(kSize, bytes_of(cat(launch.size)));
    std::string missing;
    while (!(missing = missing_ranks(store, launch.size)).empty()) {
      if (steady_clock::now() > deadline) {
        const std::string message = cat("waited ", timeout_seconds, " s (distributed.timeout) for ",
                                        launch.size, " ranks; missing: ", missing);
        store.set(kMissing, bytes_of(message));
        std::this_thread::sleep_for(20 * kPoll);  // so that those who are there can read it
        fail(message);
      }
      pause();
    }
    store.set(kAll, bytes_of("1"));
    return;
  }
  while (!store.check({kSize})) pause();
  if (const std::string size = text_of(store.get(kSize)); size != cat(launch.size)) {
    fail("rank ", launch.rank, ": expected ", launch.size, " ranks, found a rank 0 that expects ", size);
  }
  while (!store.check({kAll})) {
    if (store.check({kMissing})) fail(text_of(store.get(kMissing)));
    pause();
  }
}

}  // namespace

struct RankGroup::Connection {
  c10::intrusive_ptr<c10d::Store> store;
  std::unique_ptr<RankWatch> watch;
  c10::intrusive_ptr<Collectives> collectives;

  /// Runs an operation of c10d. If it fails, a rank is gone: RankWatch says which.
  template <class Operation>
  auto guarded(Operation operation) -> decltype(operation()) {
    try {
      return operation();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      watch->wait_for_verdict(e.what());
    }
  }
  std::function<void()> waiter(c10::intrusive_ptr<c10d::Work> work) {
    return [this, work = std::move(work)] { guarded([&] { work->wait(); }); };
  }
};

RankGroup::RankGroup(const Launch& launch, double timeout_seconds, torch::Device device)
    : share_{launch.rank, launch.size}, device_(device), connection_(std::make_unique<Connection>()) {
  StoreOptions options{launch.address, launch.port, launch.rank == 0,
                       std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds * 1000))};
  {
    // Rank 0 is found within the timeout, and waits for others as long.
    const JoinDeadline deadline(launch, 2 * timeout_seconds + kMarginSeconds);
    connection_->store = reach_store(launch, options);
    try {
      join(*connection_->store, launch, timeout_seconds);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& e) {
      fail("rank ", launch.rank, ": rank 0 at ", launch.address, ":", launch.port,
           " ended before all ranks were there, or something else listens there (", first_line(e.what()),
           ")");
    }
  }
  connection_->watch = std::make_unique<RankWatch>(share_, timeout_seconds, options);
  connection_->collectives = connection_->guarded([&] {
    return make_collectives(connection_->store, static_cast<int>(launch.rank), static_cast<int>(launch.size),
                            device, launch.address);
  });
}

RankGroup::~RankGroup() {
  // Destroying collectives waits for those that are under way, which may never end.
  if (connection_ != nullptr) (void)connection_.release();  // NOLINT(bugprone-unused-return-value)
}

std::function<void()> RankGroup::begin_sum(torch::Tensor tensor) {
  return connection_->guarded([&] {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    return connection_->waiter(connection_->collectives->allreduce(tensors));
  });
}

void RankGroup::sum(torch::Tensor tensor) {
  const torch::Tensor there = tensor.to(device_);
  begin_sum(there)();
  if (!there.is_same(tensor)) tensor.copy_(there);
}

std::function<void()> RankGroup::begin_broadcast(torch::Tensor tensor, int64_t root) {
  return connection_->guarded([&] {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return connection_->waiter(connection_->collectives->broadcast(tensors, options));
  });
}

void RankGroup::broadcast(torch::Tensor tensor, int64_t root) {
  const torch::Tensor there = tensor.to(device_);
  begin_broadcast(there, root)();
  if (!there.is_same(tensor)) tensor.copy_(there);
}

std::string RankGroup::broadcast(const std::string& text) {
  torch::Tensor length = torch::full({1}, static_cast<int64_t>(text.size()));
  broadcast(length, 0);
  if (length.item<int64_t>() == 0) return "";
  torch::Tensor bytes = torch::empty({length.item<int64_t>()}, torch::kUInt8);
  if (is_root()) std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  broadcast(bytes, 0);
  return {reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())};
}

void RankGroup::send(const torch::Tensor& tensor, int64_t to) {
  connection_->guarded([&] {
    std::vector<torch::Tensor> tensors = {tensor.to(device_)};
    connection_->collectives->send(tensors, static_cast<int>(to), 0)->wait();
  });
}

void RankGroup::receive(torch::Tensor tensor, int64_t from) {
  connection_->guarded([&] {
    std::vector<torch::Tensor> tensors = {tensor.to(device_)};
    connection_->collectives->recv(tensors, static_cast<int>(from), 0)->wait();
    if (!tensors[0].is_same(tensor)) tensor.copy_(tensors[0]);
  });
}

void RankGroup::leave() {
  sum(torch::zeros({1}));  // all are done
  connection_->watch.reset();
  connection_->collectives.reset();
  try {
    connection_->store->add(kLeft, 1);
    // Rank 0 has the store, and goes when the others need it no more.
    for (int i = 0; is_root() && i < 500 && connection_->store->add(kLeft, 0) < size(); ++i) {
      std::this_thread::sleep_for(kPoll);
    }
  } catch (const std::exception&) {  // all is done; there is nothing left to ask of the others
  }
  connection_.reset();
}

void RankGroup::abandon(const std::string& message, int status) {
  connection_->watch->end_all(message, status);
}

bool has_rank_groups() {
  return true;
}

}  // namespace rotor::train
