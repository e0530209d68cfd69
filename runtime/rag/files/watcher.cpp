// One thread reads events, waits until a path has come to rest, and syncs it.
#include "runtime/rag/files/watcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MODIFY | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

/// Closed at its end.
class Descriptor {
 public:
  Descriptor(int descriptor, const char* what) : descriptor_(descriptor) {
    if (descriptor_ < 0) fail("cannot watch files: ", what, ": ", std::strerror(errno));
  }
  ~Descriptor() { close(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// Whether a part of the path below the folder begins with a dot.
bool is_hidden(const std::string& path, const std::string& folder) {
  return path.size() > folder.size() && path.find("/.", folder.size()) != std::string::npos;
}

std::string parent_of(const std::string& path) {
  return fs::path(path).parent_path().string();
}

std::string summary(const SyncCounts& counts, const std::string& path) {
  return cat(path, ": ", counts.added, " added, ", counts.updated, " updated, ", counts.removed, " removed");
}

}  // namespace

class Watcher::Work {
 public:
  Work(KnowledgeBase& base, std::vector<Origin> origins, WatcherOptions options)
      : origins_(std::move(origins)),
        options_(std::move(options)),
        inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC), "inotify_init1"),
        wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"),
        sync_(base, {.problem = [this](const std::string& problem) { say("not taken: " + problem); },
                     .progress = {},
                     .keep_going = [this] { return !stopped(); }}) {
    for (Origin& origin : origins_) {
      origin.path = absolute_path(origin.path);
      if (!fs::exists(origin.path)) fail(origin.path, ": cannot watch it: no such file or folder");
      watch_origin(origin);
      keep_origin(base.store(), origin);
      pending_[origin.path] = {};  // due at once
    }
    thread_ = std::jthread([this] { run(); });
  }
  ~Work() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake();
  }
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  bool settle(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    const uint64_t mine = ++asked_;
    wake();
    return settled_.wait_for(lock, patience, [&] { return answered_ >= mine; });
  }

 private:
  struct Pending {
    Clock::time_point first;
    Clock::time_point due;
  };

  void wake() const {
    const uint64_t one = 1;
    // A full counter wakes as well.
    if (write(wake_.get(), &one, sizeof(one)) < 0 && errno != EAGAIN) return;
  }
  bool stopped() {
    const std::lock_guard lock(mutex_);
    return stop_;
  }
  void say(const std::string& message) const {
    if (options_.say) options_.say(message);
  }

  /// The folder itself and all below it, or a file's folder; and the folder that it lies in, where it goes
  /// and comes back.
  void watch_origin(const Origin& origin) {
    watch_one(parent_of(origin.path));
    if (fs::is_directory(origin.path)) watch_tree(origin.path, origin.path);
  }

  void watch_tree(const std::string& folder, const std::string& origin) {
    watch_one(folder);
    std::error_code error;
    fs::recursive_directory_iterator entry(folder, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      std::error_code none;
      if (!entry->is_directory(none) || entry->is_symlink(none)) continue;
      if (is_hidden(entry->path().string(), origin)) {
        entry.disable_recursion_pending();
      } else {
        watch_one(entry->path().string());
      }
    }
  }

  void watch_one(const std::string& folder) {
    const int watch = inotify_add_watch(inotify_.get(), folder.c_str(), kEvents | IN_ONLYDIR);
    if (watch >= 0) {
      folders_[watch] = folder;
    } else if (errno == ENOSPC) {
      fail(folder, ": cannot watch it: the system has no more watches; raise fs.inotify.max_user_watches");
    } else if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) {  // it went meanwhile, or is not ours
      fail(folder, ": cannot watch it: ", std::strerror(errno));
    }
  }

  /// Of folders that were moved away: their watches would follow them.
  void forget_tree(const std::string& folder) {
    for (auto it = folders_.begin(); it != folders_.end();) {
      if (is_within(it->second, folder)) {
        inotify_rm_watch(inotify_.get(), it->first);
        it = folders_.erase(it);
      } else {
        ++it;
      }
    }
  }

  void run() {
    while (!stopped()) {
      uint64_t asked = 0;
      {
        const std::lock_guard lock(mutex_);
        asked = asked_;
      }
      try {
        read_events();
      } catch (const Error& error) {
        say(error.what());
      }
      sync_due();
      if (pending_.empty()) {
        const std::lock_guard lock(mutex_);
        answered_ = asked;
        settled_.notify_all();
      }
      wait();
    }
  }

  void wait() const {
    std::array<pollfd, 2> ready = {{{inotify_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    int timeout = -1;
    for (const auto& [path, pending] : pending_) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(pending.due - Clock::now()).count();
      const int its = static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
      timeout = timeout < 0 ? its : std::min(timeout, its);
    }
    poll(ready.data(), ready.size(), timeout);
    uint64_t count = 0;
    if (read(wake_.get(), &count, sizeof(count)) < 0) return;  // it was the time or an event
  }

  void read_events() {
    alignas(inotify_event) std::array<char, 64 * 1024> buffer;
    for (;;) {
      const ssize_t size = read(inotify_.get(), buffer.data(), buffer.size());
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return;
      for (ssize_t at = 0; at < size;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
        take(*event);
      }
    }
  }

  void take(const inotify_event& event) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return look_at_all();
    const auto folder = folders_.find(event.wd);
    if (folder == folders_.end()) return;
    if ((event.mask & IN_IGNORED) != 0) {
      folders_.erase(folder);
      return;
    }
    if (event.len == 0) return;
    const std::string path = (folder->second == "/" ? "" : folder->second) + "/" + event.name;
    const bool is_folder = (event.mask & IN_ISDIR) != 0;
    const bool went = (event.mask & (IN_MOVED_FROM | IN_DELETE)) != 0;
    const bool came = (event.mask & (IN_MOVED_TO | IN_CREATE)) != 0;
    for (const Origin& origin : origins_) {
      if (!is_within(path, origin.path) || is_hidden(path, origin.path)) continue;
      if (is_folder && went) forget_tree(path);
      if (is_folder && came) watch_tree(path, origin.path);
      note(path);
      return;
    }
  }

  /// Events were lost.
  void look_at_all() {
    say("more happened at once than the system notes (fs.inotify.max_queued_events): everything is looked "
        "at");
    for (const Origin& origin : origins_) {
      note(origin.path);
      watch_origin(origin);
    }
  }

  void note(const std::string& path) {
    const auto now = Clock::now();
    const auto [pending, is_new] = pending_.try_emplace(path, Pending{now, now});
    if (is_new) pending->second.first = now;
    pending->second.due = std::min(now + options_.quiet, pending->second.first + options_.patience);
  }

  void sync_due() {
    for (auto it = pending_.begin(); it != pending_.end() && !stopped();) {
      if (it->second.due > Clock::now()) {
        ++it;
        continue;
      }
      const std::string path = it->first;
      it = pending_.erase(it);
      if (!sync(path)) it = std::next(pending_.insert_or_assign(path, later()).first);
    }
  }

  Pending later() const {
    const auto time = Clock::now() + options_.pause;
    return {time, time};
  }

  /// False if it is to be tried again.
  bool sync(const std::string& path) {
    try {
      for (const Origin& origin : origins_) {
        if (!is_within(path, origin.path)) continue;
        if (path == origin.path && fs::is_directory(path)) known_folders_.insert(path);
        // What the base has of an origin that is gone stays if it was a folder: it may be a disk that went.
        const bool may_be_a_disk = path == origin.path && known_folders_.contains(path);
        const SyncCounts counts = may_be_a_disk ? sync_.sync(origin) : sync_.sync_within(origin, path);
        if (counts.changes() > 0) say(summary(counts, path));
      }
      return true;
    } catch (const std::exception& error) {
      say(cat(path, ": the base could not be brought to what it holds: ", error.what(),
              "; it is tried again"));
      return false;
    }
  }

  std::vector<Origin> origins_;
  const WatcherOptions options_;
  Descriptor inotify_;
  Descriptor wake_;
  FileSync sync_;
  std::map<int, std::string> folders_;      // by watch
  std::map<std::string, Pending> pending_;  // by path
  std::set<std::string> known_folders_;
  std::mutex mutex_;
  std::condition_variable settled_;
  bool stop_ = false;
  uint64_t asked_ = 0;
  uint64_t answered_ = 0;
  std::jthread thread_;  // the last: it ends before what it uses
};

Watcher::Watcher(KnowledgeBase& base, std::vector<Origin> origins, WatcherOptions options)
    : work_(std::make_unique<Work>(base, std::move(origins), std::move(options))) {}
Watcher::~Watcher() = default;

bool Watcher::settle(std::chrono::milliseconds patience) {
  return work_->settle(patience);
}

}  // namespace rotor::runtime::rag
