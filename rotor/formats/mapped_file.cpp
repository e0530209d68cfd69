// mmap, and a SIGBUS handler that knows the mappings. The handler uses atomics and system calls only.
#include "rotor/formats/mapped_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "rotor/core/error.h"

namespace rotor {
namespace {

struct Slot {
  std::atomic<bool> used = false;
  std::atomic<uintptr_t> begin = 0;
  std::atomic<uintptr_t> end = 0;
  std::atomic<bool> lost = false;
};

std::array<Slot, 1024> g_slots;
uintptr_t g_page_bytes = 4096;
struct sigaction g_previous;  // the first that was there: what a library laid over ours later is not asked

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : g_slots) {
    if (address < slot.begin.load() || address >= slot.end.load()) continue;
    void* page = reinterpret_cast<void*>(address / g_page_bytes * g_page_bytes);
    if (mmap(page, g_page_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
      break;
    slot.lost.store(true);
    return;
  }
  // Not ours: hand it to whoever was there before, or let the default action end the process.
  if ((g_previous.sa_flags & SA_SIGINFO) != 0 && g_previous.sa_sigaction != nullptr) {
    g_previous.sa_sigaction(signal, info, context);
  } else {
    sigaction(signal, &g_previous, nullptr);
  }
}

int claim_slot(const uint8_t* data, size_t size) {
  for (size_t i = 0; i < g_slots.size(); ++i) {
    bool expected = false;
    if (!g_slots[i].used.compare_exchange_strong(expected, true)) continue;
    g_slots[i].lost.store(false);
    g_slots[i].begin.store(reinterpret_cast<uintptr_t>(data));
    g_slots[i].end.store(reinterpret_cast<uintptr_t>(data) + size);
    return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

void watch_for_truncation() {
  static std::mutex mutex;
  static bool first = true;
  const std::lock_guard lock(mutex);
  struct sigaction now = {};
  sigaction(SIGBUS, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_bus_error) return;
  if (std::exchange(first, false)) {
    g_page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    g_previous = now;
  }
  struct sigaction action = {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  sigaction(SIGBUS, &action, nullptr);
}

MappedFile::MappedFile(const std::string& path, FileMemory memory) : path_(path) {
  // O_NONBLOCK: a pipe of that name must not hold us up; for files it means nothing.
  fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) fail(path, ": cannot open: ", std::strerror(errno));
  struct stat status = {};
  const bool regular = fstat(fd_, &status) == 0 && S_ISREG(status.st_mode);
  if (!regular) {
    release();
    fail(path,
         S_ISDIR(status.st_mode) ? ": expected a file, found a directory" : ": expected a regular file");
  }
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  try {
    memory.copy ? copy() : map();
    if (memory.lock && mlock(data_, size_) != 0) {
      fail(path, ": cannot lock ", size_, " bytes in memory: ", std::strerror(errno),
           "; raise the limit (ulimit -l) or leave --mlock out");
    }
  } catch (...) {
    release();
    throw;
  }
}

void MappedFile::map() {
  watch_for_truncation();
  void* data = mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) fail(path_, ": cannot map ", size_, " bytes: ", std::strerror(errno));
  data_ = static_cast<const uint8_t*>(data);
  madvise(data, size_, MADV_HUGEPAGE);  // a wish: what is read from the disk now may come in huge pages
  slot_ = claim_slot(data_, size_);
  if (slot_ < 0) fail(path_, ": cannot map: more than ", g_slots.size(), " files are mapped at once");
}

void MappedFile::copy() {
  // Huge pages begin at multiples of their size: reserve one more, give the rest back.
  constexpr size_t kHugePage = size_t{1} << 21;
  void* reserved =
      mmap(nullptr, size_ + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved == MAP_FAILED) fail(path_, ": cannot allocate ", size_, " bytes: ", std::strerror(errno));
  auto* const first = static_cast<uint8_t*>(reserved);
  const size_t before = (kHugePage - reinterpret_cast<uintptr_t>(first) % kHugePage) % kHugePage;
  const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t used = (size_ + page_bytes - 1) / page_bytes * page_bytes;
  if (before > 0) munmap(first, before);
  if (before + used < size_ + kHugePage) munmap(first + before + used, size_ + kHugePage - before - used);
  data_ = first + before;
  madvise(first + before, used, MADV_HUGEPAGE);  // a wish: without it only speed is lost
  for (size_t done = 0; done < size_;) {
    const ssize_t count = pread(fd_, first + before + done, size_ - done, static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail(path_,
           ": cannot read: ", count < 0 ? std::strerror(errno) : "the file was truncated while it was read");
    }
    done += static_cast<size_t>(count);
  }
  mprotect(first + before, used, PROT_READ);
}

MappedFile::~MappedFile() {
  release();
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      fd_(std::exchange(other.fd_, -1)),
      slot_(std::exchange(other.slot_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    release();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    fd_ = std::exchange(other.fd_, -1);
    slot_ = std::exchange(other.slot_, -1);
  }
  return *this;
}

void MappedFile::release() noexcept {
  if (slot_ >= 0) {
    Slot& slot = g_slots[static_cast<size_t>(slot_)];
    slot.end.store(0);
    slot.begin.store(0);
    slot.used.store(false);
    slot_ = -1;
  }
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  data_ = nullptr;
  size_ = 0;
}

void MappedFile::check_intact() const {
  if (slot_ < 0) return;
  // Within the last page a missing part reads as zeros without a signal: only the size tells.
  struct stat status = {};
  const bool shorter = fstat(fd_, &status) != 0 || std::cmp_less(status.st_size, size_);
  if (shorter || g_slots[static_cast<size_t>(slot_)].lost.load()) {
    fail(path_, ": the file was truncated while it was in use; expected ", size_, " bytes");
  }
}

}  // namespace rotor
