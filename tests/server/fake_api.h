// A server for the page's tests: the page itself, and the two endpoints that it talks to, which answer as a
// test tells them to. Any number of answers at once; a stream that a client leaves is noticed.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

namespace httplib {
class Server;
struct Request;
struct Response;
}  // namespace httplib

namespace rotor::test {

/// What becomes of a chat completion.
struct ScriptedAnswer {
  std::vector<std::string> pieces = {};  ///< of its text
  std::chrono::milliseconds pause{0};    ///< before each of them
  bool hangs = false;                    ///< then nothing comes, until the client leaves
  bool breaks_off = false;               ///< the connection ends in the middle
  std::string finish_reason = "stop";
  nlohmann::json sources = nullptr;    ///< of the first chunk
  nlohmann::json retrieval = nullptr;  ///< likewise
  nlohmann::json cited = nullptr;      ///< of the last one
  int status = 200;                    ///< another: `error` is the answer, in OpenAI's form
  std::string error = "";              ///< with status 200: in the stream, behind the pieces
  std::string retry_after = "";        ///< a header
};

class FakeApi {
 public:
  FakeApi();
  ~FakeApi();

  /// "http://127.0.0.1:PORT/"
  std::string address() const;
  /// Of the next completion; without one it says what was said to it.
  void next(ScriptedAnswer answer);
  /// The key that is asked for. "": none.
  void set_key(const std::string& key);
  void set_models(std::vector<std::string> models);
  /// The models' `retrieval`; null: there is no knowledge base.
  void set_retrieval(const nlohmann::json& retrieval);
  /// Bodies of the completions that were asked for.
  std::vector<nlohmann::json> requests() const;
  nlohmann::json last_request() const;
  /// Streams that a client left before their end. Waits a moment for the first.
  int hangups() const;
  /// Forgets everything above.
  void reset();

 private:
  void mount_page();
  bool has_key(const httplib::Request& request, httplib::Response& response) const;
  void list_models(const httplib::Request& request, httplib::Response& response);
  void complete(const httplib::Request& request, httplib::Response& response);

  std::unique_ptr<httplib::Server> server_;
  int port_ = -1;
  std::thread thread_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> hangups_ = 0;
  mutable std::mutex mutex_;
  std::deque<ScriptedAnswer> answers_;
  std::vector<nlohmann::json> requests_;
  std::vector<std::string> models_;
  nlohmann::json retrieval_;
  std::string key_;
};

}  // namespace rotor::test
