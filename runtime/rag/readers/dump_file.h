// The bytes of a file, unpacked if bzip2 packed it. Dumps are many bzip2 streams one after another.
#pragma once

#include <bzlib.h>

#include <array>
#include <cstdint>
#include <string>

#include "runtime/rag/readers/regular_file.h"

namespace rotor::runtime::rag {

class DumpFile {
 public:
  /// Throws Error as RegularFile does.
  explicit DumpFile(const std::string& path);
  ~DumpFile();
  DumpFile(const DumpFile&) = delete;
  DumpFile& operator=(const DumpFile&) = delete;

  int64_t size() const { return file_.size(); }
  /// Of the file as it is: how far it is read.
  int64_t position() const { return file_.position() - stream_.avail_in; }

  /// At most `size` bytes; 0 at the end. Throws Error for a file that is damaged or ends too early.
  size_t read(char* bytes, size_t size);

 private:
  /// False at the end of the file.
  bool fill();
  void begin_stream();
  void end_stream();

  std::string path_;
  RegularFile file_;
  bool is_packed_ = false;
  bool is_open_ = false;  // within a stream
  bz_stream stream_ = {};
  std::array<char, 65536> input_;
};

}  // namespace rotor::runtime::rag
