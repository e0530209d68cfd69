// rotor serve as its users start it: the command line, signals, and what a service manager is told.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

#include "rotor/formats/json.h"
#include "tests/support/chat_model.h"
#include "tests/support/command.h"
#include "tests/support/http_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

class ServeTest : public ::testing::Test {
 protected:
  ServeTest() { write_chat_model(dir_.file("model.rotor"), 128); }
  const TempDir dir_;
};

TEST_F(ServeTest, ServesAndStops) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server(dir_, {"--port", "0", "--alias", "tiny"});
    ASSERT_GT(server.port(), 0) << server.log();
    HttpClient client(server.port());
    EXPECT_EQ(client.request("GET", "/health").status, 200);
    EXPECT_EQ(client.request("GET", "/ready").status, 200);
    const Json models = parse_json(client.request("GET", "/v1/models").body, "the models");
    EXPECT_EQ(models["data"][0]["id"], "tiny");
    const HttpAnswer text = client.request("POST", "/v1/completions", "Content-Type: application/json\r\n",
                                           R"({"prompt": "a", "max_tokens": 1, "ignore_eos": true})");
    EXPECT_EQ(text.status, 200) << text.body;
    const std::string metrics = client.request("GET", "/metrics").body;
    EXPECT_NE(metrics.find("rotor_http_requests_total"), std::string::npos) << metrics;
    EXPECT_NE(metrics.find(R"(rotor_texts_ended_total{outcome="length",path="/v1/completions"} 1)"),
              std::string::npos)
        << metrics;
    EXPECT_EQ(client.request("GET", "/nothing").status, 404);
    EXPECT_EQ(client.request("GET", "/health", "Host: evil.example\r\n").status, 403);
    EXPECT_EQ(server.stop(signal), 0) << server.log();
    EXPECT_NE(server.log().find("info stopped"), std::string::npos) << server.log();
  }
}

TEST_F(ServeTest, KeysAndWarnings) {
  const std::string keys = dir_.file("keys");
  write_bytes(keys, "# one\nalpha\n");
  chmod(keys.c_str(), 0600);
  ServerProcess server(dir_, {"--port", "0", "--host", "0.0.0.0", "--api-key-file", keys, "--metrics-key",
                              "--log-format", "json"});
  const std::string log = server.log();
  EXPECT_EQ(log.find("asks for no key"), std::string::npos) << log;
  EXPECT_NE(log.find("without TLS"), std::string::npos) << log;
  const Json first = parse_json(log.substr(0, log.find('\n')), "the log");
  EXPECT_EQ(first["level"], "warning");
  for (size_t begin = 0; begin < log.size(); begin = log.find('\n', begin) + 1) {
    const Json line = parse_json(log.substr(begin, log.find('\n', begin) - begin), "the log");
    if (line["message"] != "listening") continue;
    const auto at = line["at"].get<std::string>();
    HttpClient client(std::stoi(at.substr(at.rfind(':') + 1)));
    EXPECT_EQ(client.request("GET", "/v1/models").status, 401);
    EXPECT_EQ(client.request("GET", "/metrics").status, 401);
    EXPECT_EQ(client.request("GET", "/health").status, 200);
    EXPECT_EQ(client.request("GET", "/v1/models", "Authorization: Bearer alpha\r\n").status, 200);
    EXPECT_EQ(server.log().find("alpha"), std::string::npos) << "a key in the log";
    return;
  }
  FAIL() << log;
}

TEST_F(ServeTest, TellsTheServiceManager) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  dir_.file("notify").copy(address.sun_path, sizeof(address.sun_path) - 1);
  const int manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(manager, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const timeval patience = {20, 0};
  setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  const auto told = [&] {
    char bytes[512];
    const ssize_t size = recv(manager, bytes, sizeof(bytes), 0);
    return size < 0 ? std::string() : std::string(bytes, static_cast<size_t>(size));
  };
  ServerProcess server(dir_, {"--port", "0"}, dir_.file("notify"));
  EXPECT_TRUE(told().starts_with("STATUS=Loading"));
  EXPECT_TRUE(told().starts_with("READY=1\n"));
  EXPECT_EQ(server.stop(SIGTERM), 0);
  EXPECT_EQ(told(), "STOPPING=1");
  close(manager);
}

TEST_F(ServeTest, ASecondSignalCuts) {
  write_chat_model(dir_.file("model.rotor"), 8192);
  ServerProcess server(dir_, {"--port", "0", "--shutdown-timeout", "600"});
  HttpClient client(server.port());
  const std::string body = R"({"prompt": "a", "n": 16, "max_tokens": 8000, "ignore_eos": true})";  // seconds
  client.send(cat("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
                  "Content-Length: ", body.size(), "\r\n\r\n", body));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  server.send(SIGTERM);
  EXPECT_TRUE(server.wait_for("stopping"));
  EXPECT_EQ(server.stop(SIGTERM), 1) << server.log();
  EXPECT_NE(server.log().find("were cut"), std::string::npos) << server.log();
}

TEST_F(ServeTest, ReplicasBehindProxies) {
  const std::string model = dir_.file("replica.rotor");
  write_chat_model(model, 8192);
  const CommandResult result =
      run_command({ROTOR_SOURCE_DIR "/tests/scripts/replicas_test.sh", program("rotor"), model});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_NE(result.err.find("checks passed"), std::string::npos) << result.err;
}

TEST_F(ServeTest, RefusesWhatCannotBe) {
  const std::string model = dir_.file("model.rotor");
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--port", "65536"}, "--port: expected 0 to 65535, found 65536"},
      {{"--host", "256.1.1.1"}, "cannot listen at 256.1.1.1"},
      {{"--tls-cert", "x"}, "--tls-cert and --tls-key"},
      {{"--tls-cert", "absent.pem", "--tls-key", "absent.pem"}, "absent.pem"},
      {{"--cors-origin", "example.org"}, "--cors-origin"},
      {{"--api-key", "two words"}, "--api-key: expected a key"},
      {{"--max-body", "0"}, "--max-body"},
      {{"--parallel", "0"}, "--parallel"},
      {{"--request-timeout", "0"}, "--request-timeout"},
      {{"--log-level", "loud"}, "--log-level"}};
  for (const auto& [flags, message] : cases) {
    std::vector<std::string> arguments = {program("rotor"), "serve", model};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(arguments);
    EXPECT_EQ(result.status, 1) << result.err;
    EXPECT_NE(result.err.find(message), std::string::npos) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  EXPECT_EQ(run_command({program("rotor"), "serve", dir_.file("absent.rotor"), "--port", "0"}).status, 1);
}

}  // namespace
}  // namespace rotor::test
