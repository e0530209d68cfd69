// Files and directories that appear whole or not at all: written under a temporary name beside the target,
// synced to disk, then renamed. Whatever was readable under the target's name stays so until that moment.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rotor {

class AtomicFile {
 public:
  /// Creates the temporary file. Throws Error naming the path and the reason; what stands at `path` must be a
  /// regular file, if anything.
  explicit AtomicFile(std::string path);
  /// Removes the temporary file unless commit() succeeded.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws Error if not all bytes could be written (a full disk, say).
  void write(std::span<const uint8_t> bytes);
  void write(std::string_view text);
  /// Overwrites or extends at `offset`; the append position stays.
  void write_at(size_t offset, std::span<const uint8_t> bytes);
  /// Syncs, and renames over the target. Throws Error, and then leaves the target as it was.
  void commit();

  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::string temporary_path_;
  int fd_ = -1;
  size_t size_ = 0;
  size_t handed_over_ = 0;  // bytes that the system was told to write
};

/// A directory that is filled under a temporary name.
class AtomicDirectory {
 public:
  /// Creates the temporary directory. Throws Error naming the path and the reason; what stands at `path` must
  /// be an empty directory, if anything.
  explicit AtomicDirectory(const std::string& path);
  /// Removes the temporary directory with all in it unless commit() succeeded.
  ~AtomicDirectory();
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  /// Where to write.
  const std::string& temporary_path() const { return temporary_path_; }
  /// Renames it over the target. Throws Error, and then leaves the target as it was.
  void commit();

 private:
  std::string path_;
  std::string temporary_path_;  // empty once it is committed
};

/// Writes a whole text file atomically.
void write_file(const std::string& path, std::string_view text);

/// Makes `link` a symbolic link to `target` (as given, usually relative), replacing an older link in one
/// step.
void replace_symlink(const std::string& target, const std::string& link);

/// Makes a rename inside `directory` durable. Throws Error.
void sync_directory(const std::string& directory);

}  // namespace rotor
