// A file that is read from its beginning to its end. Pipes and folders are refused: opening a pipe could wait
// for ever.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace rotor::runtime::rag {

class RegularFile {
 public:
  /// Throws Error naming the path and what it is instead.
  explicit RegularFile(const std::string& path);
  ~RegularFile();
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  /// At most `size` bytes; 0 at the end. Throws Error if reading fails, or the file became
  /// shorter.
  size_t read(char* bytes, size_t size);
  int64_t position() const { return position_; }
  int64_t size() const { return size_; }  ///< when it was opened

 private:
  std::string path_;
  int fd_;
  int64_t position_ = 0;
  int64_t size_ = 0;
};

}  // namespace rotor::runtime::rag
