#include "tests/load/speed.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "rotor/core/error.h"
#include "tests/load/words.h"

namespace rotor::load {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::minutes(10);  // of a large model many streams ask much

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double percentile(std::vector<double> values, double share) {
  if (values.empty()) return 0.0;
  std::ranges::sort(values);
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1))];
}

struct StreamTimes {
  double first_token = 0.0;
  int64_t tokens = 0;
};

/// A stream from its beginning to its end.
StreamTimes stream(const test::HttpAddress& address, const std::string& request, Clock::time_point start) {
  test::HttpClient client(address);
  client.wait_for(kPatience);
  client.send(test::json_post("/v1/completions", request));
  StreamTimes times;
  const test::HttpAnswer answer = client.answer(false, [&](std::string_view) {
    if (times.first_token == 0.0) times.first_token = seconds_since(start);
    return true;
  });
  if (answer.status != 200) fail("status ", answer.status, ": ", answer.body);
  const size_t at = answer.body.rfind("\"completion_tokens\":");
  if (at == std::string::npos) fail("a stream without usage: ", answer.body);
  times.tokens = std::stoll(answer.body.substr(at + 20));
  return times;
}

}  // namespace

Json measure_speed(const test::HttpAddress& address, int64_t streams, const SpeedOptions& options) {
  std::vector<double> speeds;
  std::vector<double> first_tokens;
  std::mt19937_64 random(1);
  for (int64_t round = 0; round <= options.rounds; ++round) {
    std::vector<std::thread> threads;
    std::vector<StreamTimes> times(static_cast<size_t>(streams));
    std::vector<std::string> requests;
    for (int64_t i = 0; i < streams; ++i) {
      requests.push_back(dump_json({{"prompt", some_words(random, options.words)},
                                    {"max_tokens", options.tokens},
                                    {"temperature", 0},
                                    {"ignore_eos", true},
                                    {"stream", true},
                                    {"stream_options", {{"include_usage", true}}}}));
    }
    const auto start = Clock::now();
    for (size_t i = 0; i < times.size(); ++i) {
      threads.emplace_back([&, i] { times[i] = stream(address, requests[i], start); });
    }
    for (std::thread& thread : threads) thread.join();
    const double seconds = seconds_since(start);
    if (round == 0) continue;  // warms up
    int64_t all = 0;
    for (const StreamTimes& one : times) {
      all += one.tokens;
      first_tokens.push_back(one.first_token);
    }
    speeds.push_back(static_cast<double>(all) / seconds);
  }
  return {{"streams", streams},
          {"tokens_per_second", percentile(speeds, 0.5)},
          {"tokens_per_second_low", percentile(speeds, 0.25)},
          {"tokens_per_second_high", percentile(speeds, 0.75)},
          {"first_token_seconds", percentile(first_tokens, 0.5)},
          {"first_token_seconds_p95", percentile(first_tokens, 0.95)}};
}

}  // namespace rotor::load
