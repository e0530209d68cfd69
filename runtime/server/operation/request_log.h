// The server's log on stderr: a line a request and a line an event, as text for people or as JSON for
// programs. Whatever a client sent, a line stays one line; what was asked and answered, and keys, are never
// in it.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/server/http/request_record.h"

namespace rotor::runtime::server {

enum class LogLevel { error, warning, info, debug };
enum class LogFormat { text, json };

/// Throws Error naming `flag` and what it takes.
LogLevel read_log_level(const std::string& flag, const std::string& name);
LogFormat read_log_format(const std::string& flag, const std::string& name);

/// Thread-safe.
class RequestLog {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  /// `out` must outlive this object.
  RequestLog(LogLevel level, LogFormat format, std::FILE* out = stderr)
      : level_(level), format_(format), out_(out) {}

  void say(LogLevel level, std::string_view message, const Fields& fields = {});
  /// Level error for statuses from 500 on with an error of ours, debug for what probes ask all the time
  /// (/health, /ready, /metrics), else info.
  void request(const RequestRecord& record);

 private:
  /// Of `fields`, values that are numbers are numbers in JSON, too.
  struct Field {
    std::string name;
    std::string value;
    bool number = false;
  };
  void write(LogLevel level, std::string_view message, const std::vector<Field>& fields);

  const LogLevel level_;
  const LogFormat format_;
  std::FILE* const out_;
  std::mutex mutex_;
};

}  // namespace rotor::runtime::server
