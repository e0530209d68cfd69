// A file mapped read-only into memory, or copied there. If another process truncates the file while it is
// mapped, reading past its new end raises SIGBUS; the handler installed here puts a page of zeros there and
// remembers the loss, so that the program goes on and check_intact() reports an error instead of a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rotor {

/// How a file's bytes get into memory.
struct FileMemory {
  /// Read into memory of our own, in huge pages where the system has them: takes a moment at the start, and
  /// reading it later is faster than reading the mapped page cache.
  bool copy = false;
  /// Kept from being paged out.
  bool lock = false;
};

/// Makes the handler of SIGBUS the process's again, where something laid its own over it. Every new mapping
/// does so. To be called after a library that does such things was set to work, as LLVM under drivers of
/// OpenCL and Vulkan: its handler stands for one signal only, so that two threads that meet the missing part
/// at once would end the process.
void watch_for_truncation();

class MappedFile {
 public:
  /// Throws Error naming the path and the reason.
  explicit MappedFile(const std::string& path, FileMemory memory = {});
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  /// The file's bytes, valid while this object lives.
  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  /// The same as characters.
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }

  /// Throws Error if the file is shorter than when it was opened, or was when a read met the missing part.
  /// Call it after using the bytes.
  void check_intact() const;

 private:
  void map();
  void copy();
  void release() noexcept;

  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
  int fd_ = -1;    // kept open, to ask for the size again
  int slot_ = -1;  // in the table that the SIGBUS handler reads; -1 for a copy
};

}  // namespace rotor
