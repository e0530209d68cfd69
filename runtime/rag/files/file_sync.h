// Brings a base to what files and folders hold now: what is new comes in, what changed is replaced, what is
// gone is removed, and what is as it was costs no more than reading it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/rag/files/origin.h"
#include "runtime/rag/knowledge_base.h"

namespace rotor::runtime::rag {

/// Documents.
struct SyncCounts {
  int64_t added = 0;
  int64_t updated = 0;
  int64_t unchanged = 0;
  int64_t removed = 0;
  int64_t failed = 0;  ///< files that could not be read: what the base had of them stays

  int64_t changes() const { return added + updated + removed; }
  SyncCounts& operator+=(const SyncCounts& other);
};

struct SyncEvents {
  /// A file that could not be read, and why.
  std::function<void(const std::string& problem)> problem;
  /// Bytes of the files that are read so far; of how many the caller knows by files_of().
  std::function<void(int64_t bytes, const SyncCounts& so_far)> progress;
  /// False: stop. The documents that are done are in the base.
  std::function<bool()> keep_going;
};

/// The files of a folder and below, sorted: those whose ending says what they are, or all if the origin says
/// it. Left out are names that begin with a dot, folders behind symbolic links, and what cannot be looked
/// into. Of a file, itself.
std::vector<std::string> files_of(const Origin& origin);

/// Bytes; 0 if it is not there.
int64_t size_of(const std::string& file);

class FileSync {
 public:
  FileSync(KnowledgeBase& base, SyncEvents events);

  /// The whole origin. One that is not there at all is a problem, not a removal of all that it held: a disk
  /// may not be mounted.
  SyncCounts sync(const Origin& origin);
  /// A file or folder within the origin that may have come, changed or gone.
  SyncCounts sync_within(const Origin& origin, const std::string& path);
  /// Removes all documents of a file or folder.
  SyncCounts remove(const std::string& path);

 private:
  void sync_file(const Origin& origin, const std::string& file, SyncCounts& counts);
  bool keep_going() const { return !events_.keep_going || events_.keep_going(); }
  /// Removes the documents below `path` for which `is_gone` says so.
  void remove_if(const std::string& path, const std::function<bool(const std::string& id)>& is_gone,
                 SyncCounts& counts);
  void report(int64_t bytes, const SyncCounts& counts) const;

  KnowledgeBase& base_;
  SyncEvents events_;
  int64_t bytes_ = 0;  // of files that are done
};

}  // namespace rotor::runtime::rag
