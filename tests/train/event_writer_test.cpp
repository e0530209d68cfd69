// TensorBoard event files, read back by a reader of our own: checksums bit by bit, protobuf fields by the
// numbers that TensorFlow's event.proto, summary.proto and tensor.proto give them.
#include "train/trainer/event_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/support/temp_dir.h"

namespace rotor::train {
namespace {

using test::TempDir;
namespace fs = std::filesystem;

uint32_t crc32c(std::string_view data) {
  uint32_t crc = 0xFFFFFFFFU;
  for (const char c : data) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool out = ((crc ^ (static_cast<unsigned char>(c) >> bit)) & 1U) != 0;
      crc = (crc >> 1) ^ (out ? 0x82F63B78U : 0U);
    }
  }
  return ~crc;
}

uint32_t masked(uint32_t crc) {
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

template <class T>
T number_at(std::string_view bytes, size_t offset) {
  T value{};
  if (offset + sizeof(T) > bytes.size()) throw Error("record is cut off");
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::vector<std::string> records(const std::string& file) {
  std::vector<std::string> found;
  for (size_t at = 0; at < file.size();) {
    const auto length = number_at<uint64_t>(file, at);
    EXPECT_EQ(number_at<uint32_t>(file, at + 8), masked(crc32c(file.substr(at, 8))));
    found.push_back(file.substr(at + 12, length));
    EXPECT_EQ(number_at<uint32_t>(file, at + 12 + length), masked(crc32c(found.back())));
    at += 16 + length;
  }
  return found;
}

/// A protobuf message: what stands under each field number. Fixed-width numbers are kept as their bytes.
struct Message {
  explicit Message(std::string_view bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const uint64_t key = varint(bytes, at);
      Field field{.number = static_cast<int>(key >> 3)};
      switch (key & 7U) {
        case 0:
          field.whole = varint(bytes, at);
          break;
        case 1:
          field.bytes = bytes.substr(at, 8);
          at += 8;
          break;
        case 2: {
          const uint64_t length = varint(bytes, at);
          field.bytes = bytes.substr(at, length);
          at += length;
          break;
        }
        case 5:
          field.bytes = bytes.substr(at, 4);
          at += 4;
          break;
        default:
          throw Error("unknown wire type");
      }
      fields.push_back(field);
    }
  }
  static uint64_t varint(std::string_view bytes, size_t& at) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(bytes.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7FU) << shift;
      if (byte < 0x80) return value;
    }
  }
  bool has(int number) const {
    return std::any_of(fields.begin(), fields.end(), [&](const Field& f) { return f.number == number; });
  }
  std::string bytes(int number) const {
    for (const Field& field : fields) {
      if (field.number == number) return field.bytes;
    }
    throw Error("no such field");
  }
  /// 0 if it is not there, as proto3 has it.
  int64_t whole(int number) const {
    for (const Field& field : fields) {
      if (field.number == number) return static_cast<int64_t>(field.whole);
    }
    return 0;
  }
  Message message(int number) const { return Message(bytes(number)); }

  struct Field {
    int number = 0;
    uint64_t whole = 0;
    std::string bytes;
  };
  std::vector<Field> fields;
};

std::vector<Message> events(const std::string& path) {
  std::vector<Message> found;
  for (const std::string& record : records(test::read_bytes(path))) found.emplace_back(record);
  return found;
}

TEST(EventWriter, TheTestsOwnChecksumIsCrc32c) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);  // the published check value
}

TEST(EventWriter, WritesScalarsAndTexts) {
  const TempDir dir;
  EventWriter writer(dir.file("run/tensorboard"));
  writer.scalar("loss", 2.5, 10);
  writer.scalar("layers.0/zero", 0.0, int64_t{1} << 40);
  writer.text("sample", "one\n*two* \xFF", 20);
  writer.flush();
  const auto found = events(writer.path());
  ASSERT_EQ(found.size(), 4U);
  EXPECT_EQ(found[0].bytes(3), "brain.Event:2");
  const auto wall_time = number_at<double>(found[1].bytes(1), 0);
  EXPECT_NEAR(wall_time, static_cast<double>(time(nullptr)), 100.0);
  EXPECT_EQ(found[1].whole(2), 10);
  const Message loss = found[1].message(5).message(1);
  EXPECT_EQ(loss.bytes(1), "loss");
  EXPECT_EQ(number_at<float>(loss.bytes(2), 0), 2.5F);
  EXPECT_EQ(found[2].whole(2), int64_t{1} << 40);
  const Message zero = found[2].message(5).message(1);
  ASSERT_TRUE(zero.has(2));  // a 0 is written, not left out
  EXPECT_EQ(number_at<float>(zero.bytes(2), 0), 0.0F);
  EXPECT_EQ(found[3].whole(2), 20);
  const Message text = found[3].message(5).message(1);
  EXPECT_EQ(text.bytes(1), "sample");
  EXPECT_FALSE(text.has(2));
  EXPECT_EQ(text.message(9).message(1).bytes(1), "text");
  EXPECT_EQ(text.message(9).whole(4), 2);
  EXPECT_EQ(text.message(8).whole(1), 7);
  EXPECT_EQ(text.message(8).bytes(2), "");
  EXPECT_EQ(text.message(8).bytes(8), "    one\n    *two* \xEF\xBF\xBD");
}

TEST(EventWriter, AResumedRunDropsLaterStepsOfOlderFiles) {
  const TempDir dir;
  std::vector<std::string> names;
  for (int i = 0; i < 3; ++i) {
    const EventWriter writer(dir.path(), i == 0 ? std::nullopt : std::optional<int64_t>(100 * i));
    names.push_back(writer.path());
    const auto found = events(writer.path());
    ASSERT_EQ(found.size(), i == 0 ? 1U : 2U);
    if (i == 0) continue;
    EXPECT_EQ(found[1].whole(2), 100 * i + 1);
    EXPECT_EQ(found[1].message(7).whole(1), 1);
  }
  EXPECT_LT(names[0], names[1]);  // TensorBoard reads files in the order of their names
  EXPECT_LT(names[1], names[2]);
  EXPECT_TRUE(fs::path(names[0]).filename().string().starts_with("events.out.tfevents."));
  EXPECT_TRUE(names[0].ends_with(".rotor"));
}

TEST(EventWriter, SaysWhyItCannotWrite) {
  const TempDir dir;
  test::write_bytes(dir.file("file"), "x");
  test::expect_error([&] { EventWriter{dir.file("file")}; }, {"file", "cannot create"});
}

}  // namespace
}  // namespace rotor::train
