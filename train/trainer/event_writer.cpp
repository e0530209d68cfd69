// Events by protobuf, framed with lengths and masked CRC-32C checksums.
#include "train/trainer/event_writer.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "train/trainer/tensorboard_event.pb.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "events.out.tfevents.";
constexpr const char* kFileVersion = "brain.Event:2";  // from version 2 on, a session start drops later steps
constexpr int kStringType = 7;
constexpr int kTensorClass = 2;
constexpr int kSessionStart = 1;

/// CRC-32C (Castagnoli), reflected, one table entry a byte.
constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0x82F63B78U : 0U);
    table[byte] = crc;
  }
  return table;
}();

/// The checksum as TFRecord stores it: rotated and shifted, since the data may hold checksums themselves.
uint32_t masked_crc(std::string_view data) {
  uint32_t crc = ~0U;
  for (const char c : data) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFFU];
  crc = ~crc;
  return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U;
}

template <class T>
std::string little_endian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>((value >> (8 * i)) & 0xFFU);
  return bytes;
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  std::string text = name.data();
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

/// Seconds since 1970, or one more than those of the newest file in `directory`: also a run that is resumed
/// within a second, or after the clock was set back, gets a file that sorts last.
int64_t file_seconds(const std::string& directory) {
  auto seconds = static_cast<int64_t>(
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count());
  for (const auto& entry : fs::directory_iterator(directory)) {
    const std::string name = entry.path().filename();
    if (!name.starts_with(kPrefix)) continue;
    int64_t older = 0;
    std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), older);
    seconds = std::max(seconds, older + 1);
  }
  return seconds;
}

tensorboard::Event new_event(int64_t step) {
  tensorboard::Event event;
  event.set_wall_time(
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count());
  event.set_step(step);
  return event;
}

std::string valid_utf8(const std::string& text) {
  return Json::parse(dump_json(text)).get<std::string>();
}

/// Four spaces before every line: preformatted text in Markdown.
std::string preformatted(const std::string& text) {
  std::string indented = "    ";
  for (const char c : text) {
    indented += c;
    if (c == '\n') indented += "    ";
  }
  return indented;
}

}  // namespace

EventWriter::EventWriter(const std::string& directory, std::optional<int64_t> resumed_step) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) fail(directory, ": cannot create: ", error.message());
  path_ = cat(directory, "/", kPrefix, file_seconds(directory), ".", host_name(), ".rotor");
  out_.open(path_, std::ios::binary);
  if (!out_) fail(path_, ": cannot create");
  tensorboard::Event version = new_event(0);
  version.set_file_version(kFileVersion);
  write_record(version.SerializeAsString());
  if (resumed_step) {
    tensorboard::Event start = new_event(*resumed_step + 1);  // the first step to drop
    start.mutable_session_log()->set_status(kSessionStart);
    write_record(start.SerializeAsString());
  }
  flush();
}

void EventWriter::scalar(const std::string& tag, double value, int64_t step) {
  tensorboard::Event event = new_event(step);
  auto& summary_value = *event.mutable_summary()->add_value();
  summary_value.set_tag(valid_utf8(tag));
  summary_value.set_simple_value(static_cast<float>(value));
  write_record(event.SerializeAsString());
}

void EventWriter::text(const std::string& tag, const std::string& value, int64_t step) {
  tensorboard::Event event = new_event(step);
  auto& summary_value = *event.mutable_summary()->add_value();
  summary_value.set_tag(valid_utf8(tag));
  summary_value.mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  summary_value.mutable_metadata()->set_data_class(kTensorClass);
  summary_value.mutable_tensor()->set_dtype(kStringType);
  summary_value.mutable_tensor()->mutable_tensor_shape();  // no dimensions: one string
  summary_value.mutable_tensor()->add_string_val(preformatted(valid_utf8(value)));
  write_record(event.SerializeAsString());
}

void EventWriter::flush() {
  out_.flush();
  if (!out_) fail(path_, ": cannot write");
}

void EventWriter::write_record(std::string_view data) {
  const std::string length = little_endian(static_cast<uint64_t>(data.size()));
  out_ << length << little_endian(masked_crc(length)) << data << little_endian(masked_crc(data));
  if (!out_) fail(path_, ": cannot write");
}

}  // namespace rotor::train
