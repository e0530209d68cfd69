// Reads IDX through zlib, which reads plain files as they are. Memory grows with what the file really holds,
// not with what its header claims.
#include "rotor/formats/idx.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <utility>

#include "rotor/core/error.h"

namespace rotor {
namespace {

struct IdxFile {
  std::string path;
  std::vector<size_t> shape;
  std::vector<uint8_t> data;
};

class GzipReader {
 public:
  explicit GzipReader(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (!file_) fail(path, ": cannot open: ", std::strerror(errno));
  }

  /// Up to `size` bytes; fewer only at the end of the file.
  size_t read(uint8_t* bytes, size_t size) {
    size_t done = 0;
    while (done < size) {
      const int n =
          gzread(file_.get(), bytes + done, static_cast<unsigned>(std::min(size - done, size_t{1} << 20)));
      if (n == 0) break;
      if (n < 0) check();
      done += static_cast<size_t>(n);
    }
    if (done < size) check();
    return done;
  }

 private:
  void check() const {
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    if (code == Z_BUF_ERROR) fail(path_, ": truncated: the compressed data end early");
    if (code != Z_OK && code != Z_STREAM_END) fail(path_, ": cannot read: ", message);
  }

  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

uint32_t big_endian(const uint8_t* b) {
  return uint32_t{b[0]} << 24 | uint32_t{b[1]} << 16 | uint32_t{b[2]} << 8 | uint32_t{b[3]};
}

IdxFile read_idx(const std::string& path, size_t dimensions) {
  GzipReader reader(path);
  std::array<uint8_t, 16> header{};
  const size_t header_bytes = 4 + 4 * dimensions;
  if (const size_t found = reader.read(header.data(), header_bytes); found < header_bytes) {
    fail(path, ": truncated: expected a header of ", header_bytes, " bytes, found ", found);
  }
  const auto expected_magic = static_cast<uint32_t>(0x0800 + dimensions);
  if (const uint32_t magic = big_endian(header.data()); magic != expected_magic) {
    fail(path, ": magic number: expected ", expected_magic, " (unsigned bytes, ", dimensions,
         " dimensions), found ", magic, ": not an IDX file of this kind");
  }
  IdxFile file{path, {}, {}};
  size_t expected = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    file.shape.push_back(big_endian(header.data() + 4 + 4 * d));
    if (__builtin_mul_overflow(expected, file.shape.back(), &expected)) fail(path, ": dimensions overflow");
  }
  constexpr size_t kChunk = size_t{4} << 20;
  while (file.data.size() < expected) {
    const size_t start = file.data.size();
    const size_t want = std::min(kChunk, expected - start);
    file.data.resize(start + want);
    if (const size_t found = reader.read(file.data.data() + start, want); found < want) {
      fail(path, ": truncated: expected ", expected, " bytes of data, found ", start + found);
    }
  }
  if (uint8_t extra = 0; reader.read(&extra, 1) != 0) {
    fail(path, ": expected ", expected, " bytes of data, found more");
  }
  return file;
}

std::string find_file(const std::string& directory, const std::string& stem) {
  for (const char* ending : {"", ".gz"}) {
    if (std::string path = directory + "/" + stem + ending; std::filesystem::exists(path)) return path;
  }
  fail(directory, "/", stem, "[.gz]: no such file (datasets/README.md says how to get data sets)");
}

}  // namespace

IdxDataset load_idx(const std::string& directory, IdxSplit split) {
  const std::string prefix = split == IdxSplit::train ? "train" : "t10k";
  IdxFile images = read_idx(find_file(directory, prefix + "-images-idx3-ubyte"), 3);
  IdxFile labels = read_idx(find_file(directory, prefix + "-labels-idx1-ubyte"), 1);
  if (images.shape[0] != labels.shape[0]) {
    fail(labels.path, ": expected one label for each of the ", images.shape[0], " images of ", images.path,
         ", found ", labels.shape[0]);
  }
  return {images.shape[0], images.shape[1], images.shape[2], std::move(images.data), std::move(labels.data)};
}

void check_idx(const IdxDataset& data, const std::string& directory, int64_t expected_size,
               int64_t num_classes) {
  if (data.count == 0) fail(directory, ": no images");
  if (std::cmp_not_equal(data.image_size(), expected_size)) {
    fail(directory, ": images of ", data.image_rows, "x", data.image_cols, " = ", data.image_size(),
         " pixels, the model takes ", expected_size);
  }
  const auto bad = std::find_if(data.labels.begin(), data.labels.end(),
                                [&](uint8_t label) { return std::cmp_greater_equal(label, num_classes); });
  if (bad != data.labels.end()) {
    fail(directory, ": label ", bad - data.labels.begin(), ": expected a class below ", num_classes,
         ", found ", int{*bad});
  }
}

}  // namespace rotor
