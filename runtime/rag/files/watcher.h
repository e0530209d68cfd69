// Follows files and folders: what comes, changes or goes there is in the base moments later. By inotify, with
// a look at everything at the start and whenever the system says that it lost events.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/rag/files/file_sync.h"

namespace rotor::runtime::rag {

struct WatcherOptions {
  /// For so long nothing must have happened to a file before it is read: programs write in steps.
  std::chrono::milliseconds quiet{300};
  /// But not longer than so, if it never comes to rest.
  std::chrono::milliseconds patience{1500};
  /// If the base cannot be written, what happened is tried again after so long.
  std::chrono::milliseconds pause{5000};
  /// Told what was done, and what went wrong; from the watcher's thread. Empty: nobody.
  std::function<void(const std::string& message)> say;
};

/// Watches from its construction to its end, in a thread of its own.
class Watcher {
 public:
  /// Keeps the origins in the base, and brings it to what they hold, in the background. `base` must outlive
  /// this object. Throws Error if an origin cannot be watched: it is not there, or the system has no more
  /// watches (fs.inotify.max_user_watches).
  Watcher(KnowledgeBase& base, std::vector<Origin> origins, WatcherOptions options = {});
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  /// Waits until all that happened before the call is in the base; false after `patience`.
  bool settle(std::chrono::milliseconds patience);

 private:
  class Work;
  std::unique_ptr<Work> work_;
};

}  // namespace rotor::runtime::rag
