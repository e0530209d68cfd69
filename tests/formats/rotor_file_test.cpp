// .rotor files: layout, round trip, and every damage that the reader or verify must find.
#include "rotor/formats/rotor_file.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/core/screening.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "tests/support/models.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

class RotorFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_random_model(path_, test::small_mlp());
    good_ = test::read_bytes(path_);
  }

  /// Byte position of a tensor's data in the file.
  size_t position_of(const std::string& name) const {
    const RotorFile file(path_);
    return file.container().data_offset() + file.container().at(name).begin;
  }
  void write(const std::string& bytes) const { test::write_bytes(path_, bytes); }
  /// Replaces text in the header by one of the same length.
  std::string replaced(const std::string& from, const std::string& to) const {
    EXPECT_EQ(from.size(), to.size());
    std::string bytes = good_;
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return bytes.replace(at, to.size(), to);
  }
  /// Makes the header checksum right again.
  static std::string resealed(std::string bytes) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    const std::string field = "\"rotor.header_checksum\":\"";
    const size_t at = bytes.find(field) + field.size();
    bytes.replace(at, 16, kBlankChecksum);
    const std::string sum = checksum({reinterpret_cast<const uint8_t*>(bytes.data()), 8 + length});
    return bytes.replace(at, 16, sum);
  }
  void expect_refused(const std::string& bytes, std::vector<std::string> parts) const {
    write(bytes);
    parts.push_back(path_);
    expect_error([&] { RotorFile{path_}; }, parts);
  }
  std::vector<std::string> faults() const { return RotorFile(path_).verify(); }

  TempDir dir_;
  std::string path_ = dir_.file("model.rotor");
  std::string good_;
};

TEST_F(RotorFileTest, IsLaidOutAsTheFormatSays) {
  const RotorFile file(path_);
  EXPECT_EQ(file.container().data_offset() % 4096, 0U);
  for (const TensorInfo& tensor : file.container().tensors()) {
    if (tensor.name.starts_with("rotor.padding.")) continue;
    EXPECT_EQ((file.container().data_offset() + tensor.begin) % 256, 0U) << tensor.name;
  }
  EXPECT_EQ(file.container().at("layers.0.linear.weight").shape, (std::vector<int64_t>{3, 2, 2, 64}));
  EXPECT_EQ(file.container().metadata().at("rotor.shape.layers.0.linear.weight"), "[37, 64]");
  EXPECT_EQ(file.config().mlp.layer_sizes, test::small_mlp().mlp.layer_sizes);
  EXPECT_TRUE(file.verify().empty());
  file.check();
  const TernaryMatrix matrix = file.ternary("layers.0.linear.weight");
  EXPECT_EQ(matrix.rows, 37);
  EXPECT_EQ(matrix.cols, 64);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(matrix.tiles.data()) % 64, 0U);
}

TEST_F(RotorFileTest, IsTheSameEveryTime) {
  test::write_random_model(dir_.file("again.rotor"), test::small_mlp());
  EXPECT_EQ(test::read_bytes(dir_.file("again.rotor")), good_);
}

TEST_F(RotorFileTest, AFlippedBitInAnyDataByteIsFound) {
  const size_t data = RotorFile(path_).container().data_offset();
  for (size_t byte = data; byte < good_.size(); ++byte) {
    std::string bytes = good_;
    bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << byte % 8));
    write(bytes);
    EXPECT_FALSE(faults().empty()) << byte;
    EXPECT_THROW(RotorFile(path_).check(), Error);
  }
}

TEST_F(RotorFileTest, AFlippedBitInAnyHeaderByteIsRefused) {
  // The header's own text and some of its padding.
  const size_t text = good_.find_last_not_of(' ', RotorFile(path_).container().data_offset() - 1);
  for (size_t byte = 0; byte < text + 3; ++byte) {
    std::string bytes = good_;
    bytes[byte] = static_cast<char>(bytes[byte] ^ (1 << byte % 8));
    write(bytes);
    EXPECT_THROW(RotorFile{path_}, Error) << byte << " " << good_[byte];
  }
}

TEST_F(RotorFileTest, TruncationIsRefused) {
  for (size_t size = 0; size < good_.size(); size += 61) {
    write(good_.substr(0, size));
    EXPECT_THROW(RotorFile{path_}, Error) << size;
  }
  expect_refused(good_.substr(0, good_.size() - 1), {"truncated"});
  expect_refused(good_ + "x", {"holds"});
}

TEST_F(RotorFileTest, NewerVersionIsRefused) {
  expect_refused(replaced("\"rotor.format_version\":\"1\"", "\"rotor.format_version\":\"3\""),
                 {"format version 3 is newer", "(2)", "update rotor"});
  expect_refused(replaced("\"rotor.format_version\":\"1\"", "\"rotor.format_version\":\"x\""),
                 {"whole number", "x"});
  expect_refused(replaced("rotor.format_version", "rotor.format_versiox"), {"not a .rotor file"});
  // A newer format may hold what this reader has no name for: the version is what the user must hear of.
  std::string newer = replaced("\"rotor.format_version\":\"1\"", "\"rotor.format_version\":\"3\"");
  newer.replace(newer.find("\"F32\""), 5, "\"Q99\"");
  expect_refused(newer, {"format version 3 is newer"});
}

TEST_F(RotorFileTest, ConfigThatDoesNotFitTheTensorsIsRefused) {
  expect_refused(resealed(replaced("[64,37,18,10]", "[64,37,18,12]")),
                 {"layers.2.linear.bias", "[12]", "[10]"});
  expect_refused(resealed(replaced("[64,37,18,10]", "[64,37,99,10]")), {"expected U8"});
  // The same tiles, another logical shape: only the shape in the metadata tells.
  expect_refused(resealed(replaced("\"[37, 64]\"", "\"[38, 64]\"")),
                 {"rotor.shape.", "[37, 64]", "[38, 64]"});
  expect_refused(resealed(replaced("int8_absmax_per_token", "int9_absmax_per_token")),
                 {"activation_quantization"});
  expect_refused(resealed(replaced("\"multiply\"", "\"dividing\"")), {"scale_meaning"});
}

TEST_F(RotorFileTest, PairOfOnesIsFoundWithPlace) {
  std::string bytes = good_;
  const size_t tile = position_of("layers.0.linear.weight") + 2 * 128;  // rows 16.., columns 0..31
  bytes[tile + 3 * 4 + 1] |= 1 << 2;                                    // row 19, column 4*2+1 = 9
  bytes[tile + 64 + 3 * 4 + 1] |= 1 << 2;
  write(bytes);
  ASSERT_FALSE(faults().empty());
  EXPECT_NE(faults()[0].find("\"layers.0.linear.weight\": row 19, column 9: the pair (1,1)"),
            std::string::npos)
      << faults()[0];
}

TEST_F(RotorFileTest, BitOutsideTheMatrixIsFound) {
  std::string bytes = good_;
  const size_t last_row_tile =
      position_of("layers.0.linear.weight") + 4 * 128;  // rows 32..47, of which 37 are
  bytes[last_row_tile + 15 * 4] = 1;
  write(bytes);
  ASSERT_FALSE(faults().empty());
  EXPECT_NE(faults()[0].find("row 47, column 0: a set bit outside"), std::string::npos) << faults()[0];
}

TEST_F(RotorFileTest, BadScaleIsRefusedAtLoadAndFound) {
  for (const float scale : {0.0F, -1.0F, INFINITY, NAN}) {
    std::string bytes = good_;
    std::memcpy(&bytes[position_of("layers.1.linear.weight_scale")], &scale, 4);
    write(bytes);
    const RotorFile file(path_);
    expect_error([&] { static_cast<void>(file.ternary("layers.1.linear.weight")); },
                 {"layers.1.linear.weight_scale"});
    EXPECT_FALSE(file.verify().empty());
    write(good_);
  }
}

TEST_F(RotorFileTest, MissingAndForeignTensorsAreRefused) {
  expect_refused(resealed(replaced("\"layers.0.norm.weight\":{", "\"layers.0.norm.weighu\":{")),
                 {"\"layers.0.norm.weight\" is missing"});
  expect_refused(resealed(replaced("\\\"use_bias\\\":true", "\\\"use_bias\\\":null")), {"use_bias"});
}

TEST_F(RotorFileTest, VerifyStopsAtItsLimit) {
  std::string bytes = good_;
  const size_t at = position_of("layers.0.linear.weight");
  for (size_t i = 0; i < 128; ++i) bytes[at + i] = '\xff';
  write(bytes);
  EXPECT_EQ(RotorFile(path_).verify(5).size(), 5U);
  expect_error([&] { static_cast<void>(RotorFile(path_).verify(0)); }, {"at least 1"});
}

/// A language model whose head has a copy to screen it by.
class ScreenedFileTest : public RotorFileTest {
 protected:
  void SetUp() override {
    test::write_random_model(path_, test::small_transformer("llama"), 1, {DenseType::q8, true});
    good_ = test::read_bytes(path_);
  }
};

TEST_F(ScreenedFileTest, TheCopyIsThatOfTheRowsAsTheyAreRead) {
  const RotorFile file(path_);
  EXPECT_TRUE(file.verify().empty());
  EXPECT_TRUE(file.dense_format().screening);
  const DenseMatrix head = file.dense("lm_head.weight");
  const HeadScreen screen = file.head_screen();
  ASSERT_EQ(screen.planes.rows, 101);
  ASSERT_EQ(screen.planes.cols, 40);
  std::vector<int8_t> trits(101 * 40);
  unpack_tiles(screen.planes.tiles, 101, 40, trits);
  const std::span codes(reinterpret_cast<const int8_t*>(head.data), 101 * 40);
  ScreeningSums sums(40);
  sums.add(codes, head.row_scales);
  const ScreeningColumns columns = sums.columns();
  EXPECT_TRUE(std::ranges::equal(screen.mean, columns.mean));
  EXPECT_TRUE(std::ranges::equal(screen.spread, columns.spread));
  for (size_t r = 0; r < 101; ++r) {
    std::vector<int8_t> expected(40);
    const ScreeningRow of_row = screen_row(codes.subspan(r * 40, 40), head.row_scales[r], columns, expected);
    EXPECT_TRUE(std::ranges::equal(expected, std::span(trits).subspan(r * 40, 40))) << r;
    EXPECT_EQ(screen.scales[r], of_row.scale);
    EXPECT_EQ(screen.errors[r], of_row.error);
  }
}

TEST_F(ScreenedFileTest, DamageToTheCopyIsFound) {
  std::string bytes = good_;
  const size_t at = position_of("lm_head.weight_screen");
  bytes[at] = bytes[at + 64] = 1;
  write(bytes);
  ASSERT_EQ(faults().size(), 2U);
  EXPECT_NE(faults()[0].find("lm_head.weight_screen\": row 0, column 0: the pair (1,1)"), std::string::npos);
  EXPECT_NE(faults()[1].find("checksum"), std::string::npos);
  expect_refused(resealed(replaced("\"lm_head.weight_screen_error\"", "\"lm_head.weight_screen_other\"")),
                 {"\"lm_head.weight_screen_error\" is missing"});
}

TEST(RotorWriterTest, ScreensDenseHeadsInInt8Alone) {
  const TempDir dir;
  const auto writes = [&](const ModelConfig& config, DenseFormat dense) {
    RotorWriter{dir.file("m.rotor"), config, dense};
  };
  ModelConfig config = test::small_transformer("llama");
  expect_error([&] { writes(config, {DenseType::f16, true}); }, {"head screening", "q8", "--head f16"});
  config.transformer.ternary_head = true;
  expect_error([&] { writes(config, {DenseType::q8, true}); }, {"head screening", "ternary"});
  expect_error([&] { writes(test::small_mlp(), {DenseType::q8, true}); }, {"without a head"});
  EXPECT_FALSE(screening_pays(config));
  config = test::small_transformer();
  EXPECT_FALSE(screening_pays(config));
  config.transformer.vocab_size = 128256;
  EXPECT_TRUE(screening_pays(config));
}

TEST(RotorWriterTest, RefusesWhatVerifyWouldFind) {
  const TempDir dir;
  const ModelConfig config = test::small_mlp();
  RotorWriter writer(dir.file("m.rotor"), config);
  std::vector<uint8_t> tiles(tile_bytes(37, 64));
  expect_error([&] { writer.write_ternary("layers.0.linear.weight", tiles, 0.0F); },
               {"weight_scale", "above 0"});
  expect_error([&] { writer.write_ternary("layers.0.linear.weight", std::span(tiles).first(5), 1.0F); },
               {"expected 768"});
  expect_error([&] { writer.write_ternary("layers.9.linear.weight", tiles, 1.0F); }, {"no tensor"});
  tiles[5] = tiles[64 + 5] = 4;  // row 1, column 4*2+1
  expect_error([&] { writer.write_ternary("layers.0.linear.weight", tiles, 1.0F); },
               {"row 1, column 9", "(1,1)"});
  tiles[5] = tiles[64 + 5] = 0;
  const std::vector<float> wrong_order(37);
  expect_error([&] { writer.write_floats("layers.0.linear.bias", wrong_order); },
               {"expected tensor layers.0.linear.weight"});
  writer.write_ternary("layers.0.linear.weight", tiles, 1.0F);
  std::vector<float> not_finite(37, NAN);
  expect_error([&] { writer.write_floats("layers.0.linear.bias", not_finite); }, {"value 0", "finite"});
  expect_error([&] { writer.commit(); }, {"bytes of tensors"});
  EXPECT_FALSE(std::filesystem::exists(dir.file("m.rotor")));
}

}  // namespace
}  // namespace rotor
