// The few places where LibTorch's versions and devices differ.
#include "train/distributed/c10d.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>

#include "rotor/core/error.h"

namespace rotor::train {
namespace {

/// Collectives wait as long as their ranks live, which RankWatch decides: evaluating and writing a checkpoint
/// of a large model may take one rank longer than the others.
constexpr std::chrono::milliseconds kForever = std::chrono::hours(24 * 30);

/// The address of this machine on the way to `address`, as text; empty if there is no way. Connecting a
/// datagram socket sends nothing; it only asks for the route.
std::string own_address_towards(const std::string& address) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), "9", &hints, &found) != 0) return "";
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    const int handle = socket(entry->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (handle < 0) continue;
    sockaddr_storage own = {};
    socklen_t length = sizeof own;
    std::array<char, NI_MAXHOST> text{};
    const bool known = connect(handle, entry->ai_addr, entry->ai_addrlen) == 0 &&
                       getsockname(handle, reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
                       getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text.data(), text.size(),
                                   nullptr, 0, NI_NUMERICHOST) == 0;
    close(handle);
    if (known) return text.data();
  }
  return "";
}

std::shared_ptr<gloo::transport::Device> gloo_device(const std::string& address) {
  using c10d::ProcessGroupGloo;
  if (const char* interface = std::getenv("GLOO_SOCKET_IFNAME")) {
    return ProcessGroupGloo::createDeviceForInterface(interface);
  }
  const std::string own = own_address_towards(address);
  return own.empty() ? ProcessGroupGloo::createDefaultDevice()
                     : ProcessGroupGloo::createDeviceForHostname(own);
}

}  // namespace

std::vector<uint8_t> bytes_of(const std::string& text) {
  return {text.begin(), text.end()};
}

std::string text_of(const std::vector<uint8_t>& bytes) {
  return {bytes.begin(), bytes.end()};
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

c10::intrusive_ptr<c10d::Store> open_store(const StoreOptions& options) {
  c10d::TCPStoreOptions store;
  store.port = static_cast<uint16_t>(options.port);
  store.isServer = options.hosts;
  store.waitWorkers = false;  // rank_group.cpp waits, and says for whom
  store.timeout = options.timeout;
  return c10::make_intrusive<c10d::TCPStore>(options.address, store);
}

c10::intrusive_ptr<Collectives> make_collectives(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                                 int size, torch::Device device, const std::string& address) {
  const auto own_store = c10::make_intrusive<c10d::PrefixStore>("collectives", store);
  if (device.is_cuda()) {
#ifdef ROTOR_NCCL
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = kForever;
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(own_store, rank, size, options);
#else
    fail(
        "device: cuda: this LibTorch has no NCCL, or its headers were missing when Rotor was built, so ranks "
        "on GPUs cannot talk to one another; use device: cpu, or one rank");
#endif
  }
  auto options = c10d::ProcessGroupGloo::Options::create(kForever);
  options->devices.push_back(gloo_device(address));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(own_store, rank, size, options);
}

}  // namespace rotor::train
