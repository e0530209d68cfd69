// IDX files, plain and compressed, good and bad.
#include "rotor/formats/idx.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "rotor/core/error.h"
#include "tests/support/golden.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::idx_bytes;
using test::TempDir;

void write_gzip(const std::string& path, const std::string& bytes) {
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

class IdxTest : public ::testing::Test {
 protected:
  void write(const std::string& images, const std::string& labels) const {
    test::write_bytes(dir_.file("t10k-images-idx3-ubyte"), images);
    test::write_bytes(dir_.file("t10k-labels-idx1-ubyte"), labels);
  }
  void expect_bad(const std::string& images, const std::string& labels,
                  const std::vector<std::string>& parts) const {
    write(images, labels);
    expect_error([&] { load_idx(dir_.path(), IdxSplit::test); }, parts);
  }

  TempDir dir_;
  std::vector<uint8_t> pixels_ = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::string images_ = idx_bytes({2, 2, 3}, pixels_);
  std::string labels_ = idx_bytes({2}, {7, 9});
};

TEST_F(IdxTest, ReadsPlainAndCompressed) {
  write(images_, labels_);
  const IdxDataset plain = load_idx(dir_.path(), IdxSplit::test);
  EXPECT_EQ(plain.count, 2U);
  EXPECT_EQ(plain.image_rows, 2U);
  EXPECT_EQ(plain.image_cols, 3U);
  EXPECT_EQ(plain.pixels, pixels_);
  EXPECT_EQ(plain.labels, (std::vector<uint8_t>{7, 9}));
  const TempDir zipped;
  write_gzip(zipped.file("train-images-idx3-ubyte.gz"), images_);
  write_gzip(zipped.file("train-labels-idx1-ubyte.gz"), labels_);
  EXPECT_EQ(load_idx(zipped.path(), IdxSplit::train).pixels, pixels_);
}

TEST_F(IdxTest, MissingFile) {
  expect_error([&] { load_idx(dir_.path(), IdxSplit::train); },
               {"train-images-idx3-ubyte", "no such file", "datasets/"});
}

TEST_F(IdxTest, EveryTruncation) {
  for (size_t size = 0; size < images_.size(); ++size)
    expect_bad(images_.substr(0, size), labels_, {"truncated", "images"});
  for (size_t size = 0; size < labels_.size(); ++size)
    expect_bad(images_, labels_.substr(0, size), {"truncated", "labels"});
}

TEST_F(IdxTest, EveryTruncationOfACompressedFile) {
  write(images_, labels_);
  const TempDir zipped;
  const std::string path = zipped.file("train-images-idx3-ubyte.gz");
  write_gzip(path, images_);
  write_gzip(zipped.file("train-labels-idx1-ubyte.gz"), labels_);
  const std::string good = test::read_bytes(path);
  for (size_t size = 0; size + 8 < good.size(); ++size) {
    test::write_bytes(path, good.substr(0, size));
    EXPECT_THROW(load_idx(zipped.path(), IdxSplit::train), Error) << size;
  }
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 4);
  test::write_bytes(path, flipped);
  EXPECT_THROW(load_idx(zipped.path(), IdxSplit::train), Error);
}

TEST_F(IdxTest, WrongMagicNumber) {
  std::string floats = images_;
  floats[2] = 0x0D;
  expect_bad(floats, labels_, {"magic number", "expected 2051", "found 3331"});
  expect_bad(images_, images_, {"magic number", "expected 2049", "found 2051"});
}

TEST_F(IdxTest, CountsThatDiffer) {
  expect_bad(images_, idx_bytes({3}, {1, 2, 3}), {"one label for each of the 2 images", "found 3"});
}

TEST_F(IdxTest, TooLongAndHugeClaims) {
  expect_bad(images_ + "x", labels_, {"expected 12 bytes of data, found more"});
  expect_bad(idx_bytes({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, {}), labels_, {"overflow"});
  expect_bad(idx_bytes({0xFFFFFFFF, 28, 28}, {1, 2}), labels_, {"truncated", "found 2"});
}

TEST_F(IdxTest, ChecksAgainstTheModel) {
  write(images_, labels_);
  const IdxDataset data = load_idx(dir_.path(), IdxSplit::test);
  check_idx(data, "dir", 6, 10);
  expect_error([] { check_idx({}, "dir", 784, 10); }, {"dir", "no images"});
  expect_error([&] { check_idx(data, "dir", 784, 10); }, {"dir", "2x3 = 6 pixels", "784"});
  expect_error([&] { check_idx(data, "dir", 6, 9); }, {"label 1", "below 9", "found 9"});
}

TEST(IdxSharedData, MnistHasItsPublishedCounts) {
  const std::string mnist = test::shared_path("data/mnist");
  if (mnist.empty()) GTEST_SKIP() << "no shared data here: MNIST is not on this machine";
  const IdxDataset test_split = load_idx(mnist, IdxSplit::test);
  EXPECT_EQ(test_split.count, 10000U);
  EXPECT_EQ(test_split.image_size(), 784U);
  std::vector<int> histogram(10);
  for (const uint8_t label : test_split.labels) ++histogram[label];
  EXPECT_EQ(histogram, (std::vector<int>{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}));
}

}  // namespace
}  // namespace rotor
