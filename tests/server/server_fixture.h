// A server on a free port with routes that tests can hold up, and a record of what it answered.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/server/http/http_server.h"
#include "tests/support/http_client.h"

namespace rotor::test {

using runtime::server::HttpServer;
using runtime::server::HttpServerOptions;
using runtime::server::RequestRecord;

/// JSON's content type, as a header.
inline const std::string kJsonHeader = "Content-Type: application/json\r\n";

class HttpServerTest : public ::testing::Test {
 protected:
  /// Short times, so that tests do not wait.
  HttpServerTest();

  /// Starts it with options_. Routes: GET /hello, GET /open (needs no key), POST /echo, POST /count (the
  /// number of bytes), GET /page/*, GET /stream?n=&bytes= (pieces), POST /held (answers once release() was
  /// called or the client is gone), GET /throw?what=api|error|other|late.
  void start();
  int port() const { return server_->port(); }
  /// Opens the gate that /held waits at.
  void release();
  /// Waits until `count` requests wait at /held.
  bool wait_for_held(int count);
  /// Waits until `count` requests were answered, and gives what is known of them.
  std::vector<RequestRecord> records(size_t count);
  void TearDown() override;

  HttpServerOptions options_;
  std::unique_ptr<HttpServer> server_;
  std::atomic<int> left_ = 0;  ///< requests of /held and /stream whose client left

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool released_ = false;
  int held_ = 0;
  std::vector<RequestRecord> records_;
};

}  // namespace rotor::test
