// One buffer, as large as kernels can see, is read again and again until 1 GiB was read; it is much larger
// than any cache of a GPU.
#include "runtime/backends/gpu/read_bandwidth.h"

#include <algorithm>
#include <chrono>

namespace rotor::runtime::gpu {

double read_bandwidth(Context& context) {
  constexpr uint64_t kAll = uint64_t{1} << 30;
  constexpr uint64_t kGroups = 4096;
  context.flush();
  Device& device = context.device();
  const uint64_t size =
      std::bit_floor(std::min({kAll, device.info().largest_binding, device.info().largest_buffer}));
  const Binding source{device.allocate(size, false), 0, size};
  const Binding results{device.allocate(kGroups * sizeof(uint32_t), false), 0, kGroups * sizeof(uint32_t)};
  const Kernel& kernel = context.kernel("read_memory", {}, context.tuning().plain_group);
  const auto read = [&](uint64_t times) {
    for (uint64_t i = 0; i < times; ++i) {
      context.run(kernel, {source, results}, {size / 16}, {kGroups, 1, 1});
    }
    context.flush();
    device.wait();
  };
  read(kAll / size);  // warms up, and records the commands
  const auto start = std::chrono::steady_clock::now();
  read(kAll / size);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return static_cast<double>(kAll) / seconds;
}

}  // namespace rotor::runtime::gpu
