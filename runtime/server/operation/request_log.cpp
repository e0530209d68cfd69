// Lines of the log.
#include "runtime/server/operation/request_log.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"

namespace rotor::runtime::server {
namespace {

constexpr size_t kLongestValue = 500;  // of a path, say: a line is for reading
constexpr std::array<const char*, 4> kLevelNames = {"error", "warning", "info", "debug"};

/// "2026-11-22T02:41:00.123Z".
std::string timestamp() {
  const auto now = std::chrono::system_clock::now();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm parts = {};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t size = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + size, sizeof(text) - size, ".%03dZ", static_cast<int>(ms));
  return text;
}

std::string shortened(std::string text) {
  if (text.size() > kLongestValue) text = text.substr(0, kLongestValue) + "...";
  return text;
}

/// As it is if that is plain, else as a JSON string in ASCII: no line feed, no escape sequence of a terminal,
/// no byte order mark gets through.
std::string value_text(const std::string& value) {
  const bool plain = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '"' && c != '=' && c != '\\';
  });
  return plain ? value : Json(value).dump(-1, ' ', true, Json::error_handler_t::replace);
}

std::string fixed(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

bool is_probe(const std::string& path) {
  return path == "/health" || path == "/ready" || path == "/metrics";
}

template <class Value>
Value read_name(const std::string& flag, const std::string& name,
                const std::vector<std::pair<std::string, Value>>& known) {
  std::string names;
  for (const auto& [known_name, value] : known) {
    if (name == known_name) return value;
    names += (names.empty() ? "" : ", ") + known_name;
  }
  fail(flag, ": expected one of ", names, ", found \"", name, "\"");
}

}  // namespace

LogLevel read_log_level(const std::string& flag, const std::string& name) {
  return read_name<LogLevel>(flag, name,
                             {{"error", LogLevel::error},
                              {"warning", LogLevel::warning},
                              {"info", LogLevel::info},
                              {"debug", LogLevel::debug}});
}

LogFormat read_log_format(const std::string& flag, const std::string& name) {
  return read_name<LogFormat>(flag, name, {{"text", LogFormat::text}, {"json", LogFormat::json}});
}

void RequestLog::say(LogLevel level, std::string_view message, const Fields& fields) {
  std::vector<Field> own;
  for (const auto& [name, value] : fields) own.push_back({name, value});
  write(level, message, own);
}

void RequestLog::request(const RequestRecord& record) {
  std::vector<Field> fields = {{"id", record.id},
                               {"remote", record.remote},
                               {"method", record.method},
                               {"path", record.path},
                               {"status", std::to_string(record.status), true},
                               {"bytes", std::to_string(record.bytes), true},
                               {"ms", fixed(record.seconds * 1e3, 1), true}};
  if (!record.usage.empty()) {
    BatchUsage sum;
    double first_token_seconds = 0.0;
    double queue_seconds = 0.0;
    for (const BatchUsage& usage : record.usage) {
      sum.prompt_tokens += usage.prompt_tokens;
      sum.cached_tokens += usage.cached_tokens;
      sum.completion_tokens += usage.completion_tokens;
      first_token_seconds = std::max(first_token_seconds, usage.first_token_seconds);
      queue_seconds = std::max(queue_seconds, usage.queue_seconds);
    }
    fields.push_back({"prompt_tokens", std::to_string(sum.prompt_tokens), true});
    fields.push_back({"cached_tokens", std::to_string(sum.cached_tokens), true});
    fields.push_back({"completion_tokens", std::to_string(sum.completion_tokens), true});
    fields.push_back({"queue_ms", fixed(queue_seconds * 1e3, 1), true});
    fields.push_back({"first_token_ms", fixed(first_token_seconds * 1e3, 1), true});
  }
  if (record.cut) fields.push_back({"cut", "true", true});
  if (!record.error.empty()) fields.push_back({"error", record.error});
  const LogLevel level = !record.error.empty()   ? LogLevel::error
                         : is_probe(record.path) ? LogLevel::debug
                                                 : LogLevel::info;
  write(level, "request", fields);
}

void RequestLog::write(LogLevel level, std::string_view message, const std::vector<Field>& fields) {
  if (level > level_) return;
  const char* const level_name = kLevelNames[static_cast<size_t>(level)];
  std::string line;
  if (format_ == LogFormat::json) {
    const auto quoted = [](std::string_view text) {
      return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace);
    };
    line = "{\"time\": \"" + timestamp() + "\", \"level\": \"" + level_name +
           "\", \"message\": " + quoted(message);
    for (const Field& field : fields) {
      line +=
          ", " + quoted(field.name) + ": " + (field.number ? field.value : quoted(shortened(field.value)));
    }
    line += "}\n";
  } else {
    // Messages are ours, and sentences: they need no quotes, but what they name may hold anything.
    const std::string safe = Json(message).dump(-1, ' ', true, Json::error_handler_t::replace);
    line = timestamp() + " " + level_name + " " + safe.substr(1, safe.size() - 2);
    for (const Field& field : fields) line += " " + field.name + "=" + value_text(shortened(field.value));
    line += "\n";
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  std::fwrite(line.data(), 1, line.size(), out_);
  std::fflush(out_);
}

}  // namespace rotor::runtime::server
