// POSIX writes with every return value looked at.
#include "rotor/formats/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "rotor/core/error.h"

namespace rotor {
namespace {

std::string parent_directory(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

/// A name beside `path` that no other process or thread uses.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> counter = 0;
  std::random_device random;
  return cat(path, ".tmp-", getpid(), "-", counter++, "-", random());
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)), temporary_path_(temporary_name(path_)) {
  const auto status = std::filesystem::status(path_);
  if (std::filesystem::is_directory(status)) fail(path_, ": cannot write: it is a directory");
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    fail(path_, ": cannot write: it is not a regular file");
  }
  fd_ = open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd_ < 0) fail(path_, ": cannot create: ", std::strerror(errno));
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(temporary_path_.c_str());
}

void AtomicFile::write(std::span<const uint8_t> bytes) {
  write_at(size_, bytes);
  size_ += bytes.size();
#ifdef SYNC_FILE_RANGE_WRITE
  // The disk may begin now, while more is computed: commit() then waits for less.
  constexpr size_t kStep = size_t{32} << 20;
  if (size_ - handed_over_ < kStep) return;
  sync_file_range(fd_, static_cast<off_t>(handed_over_), static_cast<off_t>(size_ - handed_over_),
                  SYNC_FILE_RANGE_WRITE);
  handed_over_ = size_;
#endif
}

void AtomicFile::write(std::string_view text) {
  write({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

void AtomicFile::write_at(size_t offset, std::span<const uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n =
        pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      fail(path_, ": cannot write ", bytes.size(), " bytes at ", offset, ": ",
           std::strerror(n < 0 ? errno : ENOSPC), "; nothing was changed under this name");
    }
    done += static_cast<size_t>(n);
  }
}

void AtomicFile::commit() {
  if (fsync(fd_) != 0) fail(path_, ": cannot sync: ", std::strerror(errno));
  if (const int fd = std::exchange(fd_, -1); close(fd) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    fail(path_, ": cannot close: ", std::strerror(error));
  }
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    unlink(temporary_path_.c_str());
    fail(path_, ": cannot rename into place: ", std::strerror(error));
  }
  sync_directory(parent_directory(path_));
}

AtomicDirectory::AtomicDirectory(const std::string& path) : path_(path) {
  namespace fs = std::filesystem;
  while (path_.size() > 1 && path_.ends_with('/')) path_.pop_back();
  const bool is_directory = fs::is_directory(path_);
  if (fs::exists(path_) && !(is_directory && fs::is_empty(path_))) {
    fail(path_, ": exists", is_directory ? " and is not empty" : "",
         ": name a new directory, or remove this one first");
  }
  const std::string temporary = temporary_name(path_);
  std::error_code error;
  fs::create_directory(temporary, error);
  if (error) fail(temporary, ": cannot create: ", error.message());
  temporary_path_ = temporary;
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!temporary_path_.empty()) std::filesystem::remove_all(temporary_path_, ignored);
}

void AtomicDirectory::commit() {
  sync_directory(temporary_path_);
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    fail(path_, ": cannot rename into place: ", std::strerror(errno));
  }
  temporary_path_.clear();
  sync_directory(parent_directory(path_));
}

void write_file(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void replace_symlink(const std::string& target, const std::string& link) {
  const std::string temporary = temporary_name(link);
  if (symlink(target.c_str(), temporary.c_str()) != 0)
    fail(link, ": cannot create link: ", std::strerror(errno));
  if (std::rename(temporary.c_str(), link.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    fail(link, ": cannot replace link: ", std::strerror(error));
  }
  sync_directory(parent_directory(link));
}

void sync_directory(const std::string& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(directory, ": cannot open directory: ", std::strerror(errno));
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  // Some file systems cannot sync a directory and say EINVAL: the rename stands all the same.
  if (result != 0 && error != EINVAL) fail(directory, ": cannot sync directory: ", std::strerror(error));
}

}  // namespace rotor
