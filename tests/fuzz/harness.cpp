// The memory rule needs AddressSanitizer (the preset `fuzz` has it): its hooks see every malloc and free.
#include "tests/fuzz/harness.h"

#include <sanitizer/allocator_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "rotor/core/error.h"

namespace rotor::fuzz {
namespace {

std::atomic<int64_t> g_live = 0;
std::atomic<int64_t> g_limit = INT64_MAX;
std::atomic<int64_t> g_start = 0;

void on_malloc(const volatile void*, size_t size) {
  const int64_t live = g_live += static_cast<int64_t>(size);
  if (live <= g_limit) return;
  const int64_t allowed = g_limit - g_start;
  g_limit = INT64_MAX;
  std::fprintf(stderr, "fuzz: %lld bytes are allocated, of which %zu at once; this input allows %lld\n",
               static_cast<long long>(live - g_start), size, static_cast<long long>(allowed));
  std::abort();
}

void on_free(const volatile void* memory) {
  if (memory != nullptr) {
    g_live -= static_cast<int64_t>(__sanitizer_get_allocated_size(const_cast<const void*>(memory)));
  }
}

/// Ends the rule when a run ends, however it does.
struct Limited {
  explicit Limited(size_t input_bytes) {
    static const bool installed = __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0;
    require(installed, "the sanitizer takes no malloc hooks");
    g_start = g_live.load();
    g_limit = g_start + static_cast<int64_t>(kFixedBytes + kBytesPerByte * input_bytes);
  }
  ~Limited() { g_limit = INT64_MAX; }
};

}  // namespace

MemoryFile::MemoryFile(std::string_view bytes) : fd_(memfd_create("fuzz", 0)) {
  require(write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
          "cannot write the input into memory");
}

MemoryFile::~MemoryFile() {
  close(fd_);
}

std::string MemoryFile::path() const {
  return cat("/proc/self/fd/", fd_);
}

int run(size_t input_bytes, const std::function<void()>& read) {
  const Limited limited(input_bytes);
  attempt(read);
  return 0;
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void attempt(const std::function<void()>& read) {
  try {
    read();
  } catch (const Error&) {
  }
}

}  // namespace rotor::fuzz
