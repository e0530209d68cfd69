// safetensors files: round trips, and every way in which a header can lie.
#include "rotor/formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "rotor/core/error.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor {
namespace {

using test::expect_error;
using test::TempDir;

std::string raw_file(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  const uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

/// Expects an error, naming the file, when a file of these bytes is opened.
void expect_bad(const std::string& bytes, std::vector<std::string> parts) {
  const TempDir dir;
  const std::string path = dir.file("bad.safetensors");
  test::write_bytes(path, bytes);
  parts.push_back(path);
  expect_error([&] { SafetensorsFile{path}; }, parts);
}

void expect_bad_header(const std::string& header, const std::string& data,
                       const std::vector<std::string>& parts) {
  expect_bad(raw_file(header, data), parts);
}

TEST(Safetensors, RoundTrip) {
  const TempDir dir;
  const std::vector<float> a = {1.5F, -2.0F, 3.25F};
  const std::vector<int8_t> b = {-1, 0, 1, 2};
  SafetensorsWriter writer(dir.file("f"), {{"key", "value \"quoted\" \xC3\xBC"}},
                           {{"a", DType::f32, {3}}, {"empty", DType::u8, {0, 5}}, {"b", DType::i8, {2, 2}}},
                           64);
  writer.write({reinterpret_cast<const uint8_t*>(a.data()), 5});  // in pieces that fit no element
  writer.write({reinterpret_cast<const uint8_t*>(a.data()) + 5, 7});
  writer.write({reinterpret_cast<const uint8_t*>(b.data()), 4});
  writer.commit();
  const SafetensorsFile file(dir.file("f"));
  EXPECT_EQ(file.metadata().at("key"), "value \"quoted\" \xC3\xBC");
  EXPECT_EQ(file.data_offset() % 64, 0U);
  EXPECT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.read<float>("a"), a);
  EXPECT_EQ(file.read<int8_t>("b"), b);
  EXPECT_EQ(file.at("b").shape, (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(file.bytes(file.at("empty")).size(), 0U);
  EXPECT_EQ(file.find("c"), nullptr);
  expect_error([&] { static_cast<void>(file.at("c")); }, {"\"c\" is missing"});
  expect_error([&] { file.read<float>("b"); }, {"expected F32, found I8"});
  expect_error([&] { file.read_as_float(file.at("b")); }, {"expected F32, F16 or BF16, found I8"});
}

TEST(Safetensors, ReadsHalfFloats) {
  const TempDir dir;
  const std::vector<uint16_t> halves = {0x3C00, 0xC000, 0x0001, 0x7BFF, 0x8000, 0x0400};
  const std::vector<uint16_t> brains = {0x3F80, 0xC000, 0x0001, 0x7F7F};
  SafetensorsWriter writer(dir.file("f"), {}, {{"h", DType::f16, {6}}, {"b", DType::bf16, {4}}});
  writer.write({reinterpret_cast<const uint8_t*>(halves.data()), 12});
  writer.write({reinterpret_cast<const uint8_t*>(brains.data()), 8});
  writer.commit();
  const SafetensorsFile file(dir.file("f"));
  EXPECT_EQ(file.read_as_float(file.at("h")),
            (std::vector<float>{1.0F, -2.0F, 5.9604645e-8F, 65504.0F, -0.0F, 6.1035156e-5F}));
  EXPECT_EQ(file.read_as_float(file.at("b")),
            (std::vector<float>{1.0F, -2.0F, 9.183549615799121e-41F, 3.3895314e38F}));
}

TEST(Safetensors, EmptyFileOfTensorsIsFine) {
  const TempDir dir;
  test::write_bytes(dir.file("f"), raw_file("{}", ""));
  EXPECT_TRUE(SafetensorsFile(dir.file("f")).tensors().empty());
}

TEST(Safetensors, WriterRefusesMistakes) {
  const TempDir dir;
  const std::vector<uint8_t> bytes(5);
  expect_error(
      [&] {
        SafetensorsWriter(dir.file("f"), {}, {{"a", DType::u8, {1}}, {"a", DType::u8, {1}}});
      },
      {"\"a\" is declared twice"});
  {
    SafetensorsWriter writer(dir.file("f"), {}, {{"a", DType::u8, {4}}});
    expect_error([&] { writer.write(bytes); }, {"more data than the declared tensors"});
    expect_error([&] { writer.commit(); }, {"expected 4 bytes of tensors, got 0"});
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(Safetensors, BadHeaders) {
  expect_bad("", {"truncated", "0 bytes"});
  expect_bad("1234567", {"truncated"});
  expect_bad(std::string("\x10\0\0\0\0\0\0\0{}", 10), {"header length 16", "past the end"});
  expect_bad(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10),
             {"header length 18446744073709551615", "past the end"});
  expect_bad_header("{", "", {"bad JSON"});
  expect_bad_header("[]", "", {"expected a JSON object, found array"});
  expect_bad_header("{\"a\": 1}", "", {"\"a\"", "expected an object"});
  expect_bad_header(std::string(100000, '['), "", {"bad JSON", "nested deeper"});
  const std::string deep = std::string(200000, '[') + std::string(200000, ']');
  expect_bad_header("{\"a\":{\"dtype\":\"U8\",\"shape\":" + deep + ",\"data_offsets\":[0,0]}}", "",
                    {"bad JSON", "nested deeper"});
}

TEST(Safetensors, ErrorsQuoteAtMostALine) {
  std::string many = "[";
  for (int i = 0; i < 50000; ++i) many += "-1,";
  const TempDir dir;
  test::write_bytes(
      dir.file("f"),
      raw_file("{\"a\":{\"dtype\":\"U8\",\"shape\":" + many + "-1],\"data_offsets\":[0,0]}}", ""));
  try {
    SafetensorsFile file(dir.file("f"));
    ADD_FAILURE() << "accepted";
  } catch (const Error& e) {
    EXPECT_LT(std::string(e.what()).size(), dir.path().size() + 200);
  }
}

TEST(Safetensors, BadTensors) {
  const auto tensor = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"a\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  const std::string four(4, '\0');
  expect_bad_header(tensor("\"F33\"", "[1]", "[0,4]"), four, {"\"a\"", "known dtype", "F33"});
  expect_bad_header(tensor("4", "[1]", "[0,4]"), four, {"known dtype"});
  expect_bad_header(tensor("\"F32\"", "[2]", "[0,4]"), four, {"needs 8 bytes", "span 4"});
  expect_bad_header(tensor("\"F32\"", "[-1]", "[0,4]"), four, {"shape", "at least 0"});
  expect_bad_header(tensor("\"F32\"", "[1.0]", "[0,4]"), four, {"shape"});
  expect_bad_header(tensor("\"F32\"", "[99999999999999999999]", "[0,4]"), four, {"shape"});
  expect_bad_header(tensor("\"F32\"", "[4294967296,4294967296]", "[0,4]"), four, {"overflows"});
  expect_bad_header(tensor("\"F32\"", "[1]", "[4,0]"), four, {"data_offsets"});
  expect_bad_header(tensor("\"F32\"", "[1]", "[0,4,8]"), four, {"data_offsets"});
  expect_bad_header(tensor("\"F32\"", "[1]", "[0,4]"), "abc", {"ends at byte 4", "holds 3", "truncated"});
  expect_bad_header(tensor("\"F32\"", "[1]", "[4,8]"), four + four, {"starts at byte 4", "hole"});
  expect_bad_header(tensor("\"F32\"", "[1]", "[0,4]"), four + "x", {"end at byte 4", "holds 5"});
  expect_bad_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", four,
                    {"expected dtype, shape and data_offsets"});
  expect_bad_header("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", four,
                    {"unknown key \"x\""});
  const std::string one = "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]";
  expect_bad_header("{\"a\":{" + one + "},\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]}}",
                    "12345", {"\"b\"", "overlaps"});
  expect_bad_header("{\"a\":{" + one + "},\"a\":{" + one + "}}", four, {"duplicate key \"a\""});
  expect_bad_header("{\"a\":{\"dtype\":\"U8\"," + one + "}}", four, {"duplicate key \"dtype\""});
  expect_bad_header("{\"__metadata__\":{\"k\":1}}", "", {"__metadata__", "expected a string"});
  expect_bad_header("{\"__metadata__\":[]}", "", {"__metadata__"});
}

TEST(Safetensors, ManyTensorsTakeTimeByTheirNumber) {
  // By its square, this would be minutes.
  constexpr int kTensors = 200'000;
  std::string header = "{";
  for (int i = 0; i < kTensors; ++i) {
    header += cat(i == 0 ? "" : ",", "\"", i, R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})");
  }
  header += "}";
  const TempDir dir;
  const uint64_t length = header.size();
  test::write_bytes(dir.file("m"),
                    std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header);
  EXPECT_EQ(SafetensorsFile(dir.file("m")).tensors().size(), size_t{kTensors});
}

TEST(Safetensors, EveryTruncationIsAnErrorAndNoFlippedHeaderBitCrashes) {
  const TempDir dir;
  SafetensorsWriter writer(dir.file("f"), {{"k", "v"}}, {{"a", DType::f32, {2, 3}}, {"b", DType::u8, {9}}});
  const std::vector<uint8_t> data(33, 7);
  writer.write(data);
  writer.commit();
  const std::string good = test::read_bytes(dir.file("f"));
  for (size_t size = 0; size < good.size(); ++size) {
    test::write_bytes(dir.file("cut"), good.substr(0, size));
    EXPECT_THROW(SafetensorsFile{dir.file("cut")}, Error) << size;
  }
  int accepted = 0;
  for (size_t bit = 0; bit < (good.size() - data.size()) * 8; ++bit) {
    std::string bytes = good;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    test::write_bytes(dir.file("flip"), bytes);
    try {
      const SafetensorsFile file(dir.file("flip"));
      size_t total = 0;
      for (const TensorInfo& tensor : file.tensors()) total += file.bytes(tensor).size();
      EXPECT_EQ(total, data.size());
      ++accepted;  // a changed name or metadata value is still a valid file
    } catch (const Error&) {
    }
  }
  EXPECT_GT(accepted, 0);
}

}  // namespace
}  // namespace rotor
