#include "runtime/rag/readers/dump_file.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {

DumpFile::DumpFile(const std::string& path) : path_(path), file_(path) {
  fill();
  is_packed_ = std::string_view(input_.data(), stream_.avail_in).starts_with("BZh");
}

DumpFile::~DumpFile() {
  if (is_open_) end_stream();
}

bool DumpFile::fill() {
  if (stream_.avail_in == 0) {
    stream_.avail_in = static_cast<unsigned>(file_.read(input_.data(), input_.size()));
    stream_.next_in = input_.data();
  }
  return stream_.avail_in > 0;
}

size_t DumpFile::read(char* bytes, size_t size) {
  if (!is_packed_) {
    if (!fill()) return 0;
    const size_t count = std::min<size_t>(size, stream_.avail_in);
    std::memcpy(bytes, stream_.next_in, count);
    stream_.next_in += count;
    stream_.avail_in -= static_cast<unsigned>(count);
    return count;
  }
  while (true) {
    if (!fill()) {
      if (is_open_) fail(path_, ": expected more after byte ", position(), ": is its download complete?");
      return 0;
    }
    if (!is_open_) begin_stream();
    stream_.next_out = bytes;
    stream_.avail_out = static_cast<unsigned>(size);
    const int result = BZ2_bzDecompress(&stream_);
    if (result != BZ_OK && result != BZ_STREAM_END)
      fail(path_, ": before byte ", position(), ": expected bzip2's data, found others: download it again");
    const size_t count = size - stream_.avail_out;
    if (result == BZ_STREAM_END) end_stream();
    if (count > 0) return count;
  }
}

void DumpFile::begin_stream() {
  const bz_stream input = stream_;
  stream_ = {};
  if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK) fail(path_, ": bzip2: out of memory");
  stream_.next_in = input.next_in;
  stream_.avail_in = input.avail_in;
  is_open_ = true;
}

void DumpFile::end_stream() {
  const bz_stream input = stream_;
  BZ2_bzDecompressEnd(&stream_);
  stream_ = {};
  stream_.next_in = input.next_in;
  stream_.avail_in = input.avail_in;
  is_open_ = false;
}

}  // namespace rotor::runtime::rag
