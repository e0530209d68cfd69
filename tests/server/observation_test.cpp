// What a server tells of itself: log, metrics, health.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "runtime/server/operation/metrics.h"
#include "runtime/server/operation/operation_routes.h"
#include "runtime/server/operation/request_log.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::server {
namespace {

RequestRecord some_record() {
  RequestRecord record;
  record.id = "req_1";
  record.remote = "::1";
  record.method = "POST";
  record.path = record.route = "/v1/chat/completions";
  record.status = 200;
  record.bytes = 123;
  record.seconds = 0.25;
  BatchUsage usage;
  usage.prompt_tokens = 7;
  usage.cached_tokens = 4;
  usage.completion_tokens = 11;
  usage.queue_seconds = 0.01;
  usage.first_token_seconds = 0.05;
  usage.seconds = 0.25;
  record.usage = {usage, usage};
  return record;
}

/// What the log writes.
std::string logged(LogLevel level, LogFormat format, const std::function<void(RequestLog&)>& write) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* const file = open_memstream(&text, &size);
  {
    RequestLog log(level, format, file);
    write(log);
  }
  std::fclose(file);
  std::string result(text, size);
  free(text);
  return result;
}

TEST(RequestLog, ALineARequest) {
  const std::string line =
      logged(LogLevel::info, LogFormat::text, [](RequestLog& log) { log.request(some_record()); });
  EXPECT_NE(
      line.find(
          "Z info request id=req_1 remote=::1 method=POST path=/v1/chat/completions status=200 bytes=123 "
          "ms=250.0 prompt_tokens=14 cached_tokens=8 completion_tokens=22 queue_ms=10.0 "
          "first_token_ms=50.0\n"),
      std::string::npos)
      << line;
  const std::string json =
      logged(LogLevel::info, LogFormat::json, [](RequestLog& log) { log.request(some_record()); });
  const Json fields = parse_json(json, "the line");
  EXPECT_EQ(fields["status"], 200);
  EXPECT_EQ(fields["completion_tokens"], 22);
  EXPECT_EQ(fields["path"], "/v1/chat/completions");
  EXPECT_EQ(fields["level"], "info");
}

TEST(RequestLog, NothingThatClientsSendBreaksALine) {
  for (const std::string nasty :
       {"/a\nforged line status=200", "/\x1b[2J", "/\"x\" y=1", "/\xff\xfe", "/\u202e\u009b", ""}) {
    for (const LogFormat format : {LogFormat::text, LogFormat::json}) {
      RequestRecord record = some_record();
      record.path = nasty;
      record.error = nasty;
      const std::string line = logged(LogLevel::info, format, [&](RequestLog& log) { log.request(record); });
      EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1) << line;
      for (const char c : line) EXPECT_TRUE(c == '\n' || (c >= ' ' && c <= '~')) << line;
      if (format == LogFormat::json) parse_json(line, "the line");
    }
  }
  RequestRecord endless = some_record();
  endless.path = std::string(100'000, 'a');
  EXPECT_LT(logged(LogLevel::info, LogFormat::text, [&](RequestLog& log) { log.request(endless); }).size(),
            1000U);
}

TEST(RequestLog, Levels) {
  RequestRecord probe = some_record();
  probe.path = "/health";
  RequestRecord failure = some_record();
  failure.status = 500;
  failure.error = "broken";
  const auto all = [&](RequestLog& log) {
    log.request(probe);
    log.request(some_record());
    log.request(failure);
    log.say(LogLevel::warning, "careful", {{"what", "a b"}});
  };
  const auto lines = [](const std::string& text) { return std::count(text.begin(), text.end(), '\n'); };
  EXPECT_EQ(lines(logged(LogLevel::debug, LogFormat::text, all)), 4);
  EXPECT_EQ(lines(logged(LogLevel::info, LogFormat::text, all)), 3);
  EXPECT_EQ(lines(logged(LogLevel::warning, LogFormat::text, all)), 2);
  EXPECT_NE(logged(LogLevel::warning, LogFormat::text, all).find("warning careful what=\"a b\""),
            std::string::npos);
  EXPECT_EQ(lines(logged(LogLevel::error, LogFormat::text, all)), 1);
  EXPECT_EQ(read_log_level("--log-level", "debug"), LogLevel::debug);
  test::expect_error([] { read_log_format("--log-format", "xml"); }, {"--log-format", "text, json", "xml"});
}

/// Samples of Prometheus' text format by "name{labels}"; a line that is none fails the test.
std::map<std::string, double> parse_metrics(const std::string& text) {
  std::map<std::string, double> samples;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    const size_t space = line.rfind(' ');
    EXPECT_NE(space, std::string::npos) << line;
    EXPECT_TRUE(samples.emplace(line.substr(0, space), std::stod(line.substr(space))).second) << line;
  }
  return samples;
}

TEST(Metrics, CountWhatHappened) {
  Metrics metrics;
  metrics.set_sources({.batcher =
                           [] {
                             BatcherStatistics now;
                             now.running = 3;
                             now.completion_tokens = 1000;
                             return now;
                           },
                       .connections = [] { return int64_t{5}; }});
  metrics.count(some_record());
  RequestRecord invented = some_record();
  invented.method = "EVIL";
  invented.path = "/invented\"";
  invented.route = "";
  invented.status = 404;
  invented.usage.clear();
  invented.cut = true;
  metrics.count(invented);
  metrics.count_end("/v1/completions", "length");
  metrics.count_end("/v1/completions", "length");
  metrics.count_retrieval("used", 0.02);
  metrics.count_retrieval("never", 0.0);
  const auto samples = parse_metrics(metrics.text());
  const auto value = [&](const std::string& name) {
    EXPECT_TRUE(samples.contains(name)) << name << "\n" << metrics.text();
    return samples.contains(name) ? samples.at(name) : -1.0;
  };
  EXPECT_EQ(value("rotor_http_requests_total{method=\"POST\",path=\"/v1/chat/completions\",status=\"200\"}"),
            1);
  EXPECT_EQ(value("rotor_http_requests_total{method=\"other\",path=\"other\",status=\"404\"}"), 1);
  EXPECT_EQ(value("rotor_http_requests_cut_total{path=\"other\"}"), 1);
  EXPECT_EQ(value("rotor_http_request_duration_seconds_bucket{path=\"/v1/chat/completions\",le=\"0.25\"}"),
            1);
  EXPECT_EQ(value("rotor_http_request_duration_seconds_bucket{path=\"/v1/chat/completions\",le=\"0.1\"}"), 0);
  EXPECT_EQ(value("rotor_time_to_first_token_seconds_count"), 2);
  EXPECT_EQ(value("rotor_queue_seconds_count"), 2);
  EXPECT_DOUBLE_EQ(value("rotor_tokens_per_second_sum"), 2 * 10 / 0.2);
  EXPECT_EQ(value("rotor_texts_ended_total{outcome=\"length\",path=\"/v1/completions\"}"), 2);
  EXPECT_EQ(value("rotor_retrievals_total{outcome=\"used\"}"), 1);
  EXPECT_EQ(value("rotor_retrievals_total{outcome=\"never\"}"), 1);
  EXPECT_EQ(value("rotor_retrieval_seconds_count"), 1);
  EXPECT_EQ(value("rotor_texts_running"), 3);
  EXPECT_EQ(value("rotor_completion_tokens_total"), 1000);
  EXPECT_EQ(value("rotor_http_connections"), 5);
  EXPECT_GT(value("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(value("process_open_fds"), 2);
}

TEST(OperationRoutes, SayHowItIs) {
  Metrics metrics;
  bool ready = false;
  const auto routes = operation_routes(metrics, {.ready = [&] { return ready; }, .metrics_need_key = true});
  const auto get = [&](const std::string& path) {
    for (const HttpRoute& route : routes) {
      if (route.path == path) return route.handler({});
    }
    fail("no route ", path);
  };
  EXPECT_EQ(get("/health").status, 200);
  EXPECT_EQ(get("/ready").status, 503);
  ready = true;
  EXPECT_EQ(get("/ready").status, 200);
  EXPECT_EQ(get("/metrics").content_type, Metrics::kContentType);
  for (const HttpRoute& route : routes) EXPECT_EQ(route.needs_key, route.path == "/metrics");
}

}  // namespace
}  // namespace rotor::runtime::server
