#include "tests/load/soak.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "tests/load/words.h"

namespace rotor::load {
namespace {

using Clock = std::chrono::steady_clock;
using test::HttpAddress;
using test::HttpAnswer;
using test::HttpClient;
using test::json_post;
using namespace std::chrono_literals;

/// Resident bytes of a process; 0 if it is gone.
int64_t resident_bytes(int64_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoll(line.substr(6)) * 1024;
  }
  return 0;
}

class Soak {
 public:
  Soak(const HttpAddress& address, const SoakOptions& options) : address_(address), options_(options) {}

  Json run() {
    learn_answers();
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (int64_t i = 0; i < options_.clients; ++i) {
      threads.emplace_back([this, i] {
        std::mt19937_64 random(options_.seed + static_cast<uint64_t>(i));
        for (int64_t number = next_++; number < options_.requests; number = next_++) {
          if (options_.pid != 0 && number % std::max<int64_t>(options_.requests / 20, 1) == 0)
            note_memory(number);
          try {
            one_request(random);
          } catch (const std::exception& error) {
            note("failed", error.what());
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (options_.pid != 0) {
      std::this_thread::sleep_for(2s);
      note_memory(options_.requests);
    }
    Json counts = Json::object();
    for (const auto& [what, count] : counts_) counts[what] = count;
    return {{"requests", options_.requests},
            {"seconds", std::chrono::duration<double>(Clock::now() - start).count()},
            {"outcomes", counts},
            {"memory", memory_},
            {"memory_growth", memory_growth()},
            {"wrong", wrong_.load()},
            {"examples", examples_}};
  }

 private:
  struct Known {
    std::string prompt;
    std::string text;
  };

  static std::string request_for(const std::string& prompt, bool stream) {
    return dump_json({{"prompt", prompt}, {"max_tokens", 24}, {"temperature", 0}, {"stream", stream}});
  }

  /// What the server answers to one client alone.
  void learn_answers() {
    std::mt19937_64 random(options_.seed);
    for (int i = 0; i < 40; ++i) {
      const std::string prompt = some_words(random, static_cast<int64_t>(random() % 60));
      HttpClient connection(address_);
      connection.send(json_post("/v1/completions", request_for(prompt, false)));
      const HttpAnswer answer = connection.answer();
      if (answer.status != 200) fail("status ", answer.status, ": ", answer.body);
      known_.push_back({prompt, parse_json(answer.body, "answer").at("choices").at(0).at("text")});
    }
  }

  void one_request(std::mt19937_64& random) {
    const Known& known = known_[random() % known_.size()];
    HttpClient connection(address_);
    const uint64_t kind = options_.hostile ? random() % 100 : random() % 60;
    if (kind < 40) {
      connection.send(json_post("/v1/completions", request_for(known.prompt, false)));
      const HttpAnswer answer = connection.answer();
      if (answer.status == 200) {
        check_text(known, parse_json(answer.body, "answer").at("choices").at(0).at("text"), "answered");
      } else {
        expect_status("answer", answer, {429, 503});
      }
    } else if (kind < 60) {
      read_stream(connection, known, 0ms);
    } else if (kind < 65) {
      read_stream(connection, known, std::chrono::milliseconds(random() % 50));
    } else if (kind < 73) {  // hangs up in the middle of a stream, or before it begins
      connection.send(json_post("/v1/completions", request_for(known.prompt, true)));
      int64_t parts = static_cast<int64_t>(random() % 4);
      if (parts > 0) connection.answer(false, [&](std::string_view) { return --parts > 0; });
      note("hung up");
    } else if (kind < 76) {  // hangs up in the middle of a request
      const std::string whole = json_post("/v1/completions", request_for(known.prompt, false));
      connection.send(whole.substr(0, random() % whole.size()));
      note("half a request");
    } else {
      misbehave(connection, random);
    }
  }

  void misbehave(HttpClient& connection, std::mt19937_64& random) {
    static const std::vector<std::pair<const char*, std::string>> kBad = {
        {"broken JSON", "{\"prompt\": \"a"},
        {"no object", "[1, 2]"},
        {"wrong type", R"({"prompt": {"a": 1}})"},
        {"negative count", R"({"prompt": "a", "max_tokens": -5})"},
        {"NaN", R"({"prompt": "a", "temperature": NaN})"},
        {"huge n", R"({"prompt": "a", "n": 1000000})"},
        {"bad UTF-8", "{\"prompt\": \"\xff\xfe\"}"},
        {"deep nesting", std::string(100000, '[')},
        {"huge number", R"({"prompt": "a", "max_tokens": 1e400})"}};
    const uint64_t choice = random() % (kBad.size() + 5);
    if (choice < kBad.size()) {
      connection.send(json_post("/v1/completions", kBad[choice].second));
      return expect_status(kBad[choice].first, connection.answer(), {400});
    }
    switch (choice - kBad.size()) {
      case 0:
        connection.send(json_post("/v1/completions", dump_json({{"prompt", some_words(random, 20000)}})));
        return expect_status("long prompt", connection.answer(), {400});
      case 1:
        connection.send(json_post("/v1/completions", R"({"model": "no-such-model", "prompt": "a"})"));
        return expect_status("unknown model", connection.answer(), {404});
      case 2:
        connection.send("GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n");
        return expect_status("unknown path", connection.answer(), {404});
      case 3:
        connection.send("\x16\x03\x01 rubbish\r\n\r\n");
        return expect_status("rubbish", connection.answer(), {0, 400});
      default:
        connection.send(
            "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            "content-length: 99999999999\r\n\r\n{");
        return expect_status("huge body", connection.answer(), {0, 413});
    }
  }

  void read_stream(HttpClient& connection, const Known& known, std::chrono::milliseconds pause) {
    connection.send(json_post("/v1/completions", request_for(known.prompt, true)));
    const HttpAnswer answer = connection.answer(false, [&](std::string_view) {
      std::this_thread::sleep_for(pause);
      return true;
    });
    if (answer.status != 200) return expect_status("stream", answer, {429, 503});
    const std::string& events = answer.body;
    std::string text;
    bool done = false;
    for (size_t begin = 0; (begin = events.find("data: ", begin)) != std::string::npos;) {
      begin += 6;
      const std::string data = events.substr(begin, events.find("\n\n", begin) - begin);
      done = data == "[DONE]";
      if (done) break;
      const Json event = parse_json(data, "event");
      if (!event.at("choices").empty()) text += event.at("choices").at(0).value("text", "");
    }
    if (!done) return note_wrong("a stream without its end: " + events);
    check_text(known, text, pause > 0ms ? "slow stream" : "streamed");
  }

  void check_text(const Known& known, const std::string& text, const std::string& what) {
    if (text == known.text) return note(what);
    note_wrong("prompt " + known.prompt + ": expected \"" + known.text + "\", found \"" + text + "\"");
  }

  void expect_status(const std::string& what, const HttpAnswer& answer, const std::vector<int>& allowed) {
    if (std::ranges::find(allowed, answer.status) == allowed.end()) {
      return note_wrong(what + ": status " + std::to_string(answer.status) + ": " +
                        answer.body.substr(0, 200));
    }
    if (answer.status != 0 && answer.body.find("\"error\"") == std::string::npos) {
      return note_wrong(what + ": no error in OpenAI's form: " + answer.body.substr(0, 200));
    }
    note(what + " " + std::to_string(answer.status));
  }

  void note(const std::string& what, const std::string& example = "") {
    const std::lock_guard lock(mutex_);
    ++counts_[what];
    if (!example.empty() && examples_.size() < 10) examples_.push_back(example);
  }
  void note_wrong(const std::string& what) {
    note("wrong", what);
    ++wrong_;
  }

  void note_memory(int64_t number) {
    const int64_t bytes = resident_bytes(options_.pid);
    const std::lock_guard lock(mutex_);
    memory_.push_back({{"requests", number}, {"bytes", bytes}});
    std::fprintf(stderr, "%lld of %lld requests, %.1f MB\n", static_cast<long long>(number),
                 static_cast<long long>(options_.requests), static_cast<double>(bytes) * 1e-6);
  }
  /// From a quarter of the way, when every buffer has been used, to the end.
  Json memory_growth() const {
    if (memory_.size() < 8) return nullptr;
    const double early = memory_[memory_.size() / 4].at("bytes");
    const double late = memory_.back().at("bytes");
    return late / early - 1.0;
  }

  HttpAddress address_;
  SoakOptions options_;
  std::vector<Known> known_;
  std::atomic<int64_t> next_ = 0;
  std::mutex mutex_;
  std::map<std::string, int64_t> counts_;
  std::vector<std::string> examples_;
  Json memory_ = Json::array();
  std::atomic<int64_t> wrong_ = 0;
};

}  // namespace

Json soak(const test::HttpAddress& address, const SoakOptions& options) {
  return Soak(address, options).run();
}

}  // namespace rotor::load
