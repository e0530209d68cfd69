// Connections that break, servers that go and come back.
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "runtime/rag/postgres/connection.h"
#include "runtime/rag/postgres/postgres_store.h"
#include "tests/rag/postgres/postgres_server.h"
#include "tests/rag/rag_fixture.h"

namespace rotor::test {
namespace {

using namespace std::chrono_literals;

/// Stands between a store and the server, and can hang up right behind a statement: the server gets it, and
/// the store no answer.
class CuttingProxy {
 public:
  CuttingProxy() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~CuttingProxy() {
    done_ = true;
    thread_.join();
    close(listener_);
  }
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  int port() const { return port_; }
  /// Once, behind the next bytes for the server with `statement` in them.
  void cut_behind(const std::string& statement) {
    statement_ = statement;
    armed_ = true;
  }
  bool has_cut() const { return !armed_; }

 private:
  static sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  void serve() {
    while (!done_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const int client = accept(listener_, nullptr, nullptr);
      const int server = socket(AF_INET, SOCK_STREAM, 0);
      const sockaddr_in address = loopback(PostgresServer::instance().port());
      if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0)
        carry(client, server);
      close(client);
      close(server);
    }
  }
  /// One connection at a time: the tests need no more.
  void carry(int client, int server) {
    char bytes[65536];
    while (!done_) {
      pollfd waiting[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      if (poll(waiting, 2, 20) <= 0) continue;
      for (const auto& [from, to] : {std::pair{0, server}, std::pair{1, client}}) {
        if (waiting[from].revents == 0) continue;
        const ssize_t size = read(waiting[from].fd, bytes, sizeof(bytes));
        if (size <= 0) return;
        EXPECT_EQ(send(to, bytes, static_cast<size_t>(size), MSG_NOSIGNAL), size);
        if (from == 0 && armed_ &&
            std::string_view(bytes, static_cast<size_t>(size)).find(statement_) != std::string::npos) {
          std::this_thread::sleep_for(100ms);  // the server does what it was told
          armed_ = false;
          return;
        }
      }
    }
  }

  const int listener_;
  int port_ = 0;
  std::string statement_;
  std::atomic<bool> armed_ = false;
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

class PostgresLossTest : public BaseFixture {
 protected:
  PostgresLossTest() { create(); }
  std::shared_ptr<rag::Store> open_patient(std::chrono::milliseconds patience) {
    return rag::open_postgres_store(
        path(),
        {.say = [this](const std::string& message) { said_ += message + "\n"; }, .patience = patience});
  }
  static rag::PostgresResult run(const std::string& name, const std::string& sql) {
    rag::PostgresConnection connection(rag::parse_postgres_address(name));
    return connection.run(sql);
  }
};

TEST_F(PostgresLossTest, ARestartedServerIsFoundAgain) {
  rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>());
  base.put(document_of("a", "Honey."));
  PostgresServer::instance().stop();
  PostgresServer::instance().start();
  EXPECT_EQ(ids_of(base.search("honey", {})), std::vector<std::string>{"a"});
  EXPECT_NE(said_.find("lost"), std::string::npos) << said_;
  EXPECT_NE(said_.find("connected again"), std::string::npos) << said_;
  PostgresServer::instance().stop();
  PostgresServer::instance().start();
  EXPECT_EQ(base.put(document_of("b", "More honey.")), rag::PutResult::added);
  EXPECT_EQ(base.search("honey", {}).size(), 2U);
}

TEST_F(PostgresLossTest, AServerThatIsAwayForAWhileIsWaitedFor) {
  rag::KnowledgeBase base(open_patient(20s), std::make_shared<WordEmbedder>());
  base.put(document_of("a", "Honey."));
  PostgresServer::instance().stop();
  std::vector<std::string> found;
  std::thread searching([&] { found = ids_of(base.search("honey", {})); });
  std::this_thread::sleep_for(500ms);
  PostgresServer::instance().start();
  searching.join();
  EXPECT_EQ(found, std::vector<std::string>{"a"});
}

TEST_F(PostgresLossTest, PatienceEnds) {
  rag::KnowledgeBase base(open_patient(300ms), std::make_shared<WordEmbedder>());
  base.put(document_of("a", "Honey."));
  const auto snapshot = base.store().snapshot();
  PostgresServer::instance().stop();
  const auto start = std::chrono::steady_clock::now();
  try {
    base.search("honey", {});
    ADD_FAILURE() << "nobody can have answered";
  } catch (const Error& error) {
    const std::string message = error.what();
    for (const std::string& part : {path(), std::string("cannot connect"), std::string("; tried ")})
      EXPECT_NE(message.find(part), std::string::npos) << message;
    EXPECT_EQ(message.find("; tried 1 "), std::string::npos) << message;
  }
  expect_error([&] { base.put(document_of("b", "Honey.")); }, {path(), "cannot connect"});
  expect_error([&] { snapshot->match_words("honey", 5, {}); }, {path(), "lost"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  PostgresServer::instance().start();
  EXPECT_EQ(ids_of(base.search("honey", {})), std::vector<std::string>{"a"}) << "what failed left nothing";
}

TEST_F(PostgresLossTest, AChangeWhoseCommitGotNoAnswerIsMadeOnce) {
  CuttingProxy proxy;
  const std::string name = path();
  const std::string by_proxy = cat("postgresql://127.0.0.1:", proxy.port(), name.substr(name.rfind('/')));
  rag::KnowledgeBase base(
      open_base(by_proxy, [this](const std::string& message) { said_ += message + "\n"; }),
      std::make_shared<WordEmbedder>());
  base.put(document_of("a", "Honey of old."));
  const std::string commit("\0COMMIT\0", 8);  // not that of READ COMMITTED
  // Kept chunks and new ones: doing it again blindly would fail, or count words twice.
  proxy.cut_behind(commit);
  EXPECT_EQ(base.put(document_of("a", "#X\n\nHoney of today.\n\n#Y\n\nAnd more of it.")),
            rag::PutResult::updated);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_NE(said_.find("lost"), std::string::npos) << said_;
  expect_sound(name);
  EXPECT_EQ(base.store().snapshot()->statistics().chunks, 2);
  proxy.cut_behind(commit);
  EXPECT_TRUE(base.remove("a")) << "it was there, whoever took it away";
  EXPECT_TRUE(proxy.has_cut());
  // And one that the server never made.
  proxy.cut_behind("INSERT INTO words");
  EXPECT_EQ(base.put(document_of("b", "Honey.")), rag::PutResult::added);
  EXPECT_TRUE(proxy.has_cut());
  EXPECT_EQ(base.store().snapshot()->statistics().documents, 1);
  expect_sound(name);
}

TEST_F(PostgresLossTest, AnAdministratorMayEndConnections) {
  rag::KnowledgeBase base(open(), std::make_shared<WordEmbedder>());
  base.put(document_of("a", "Honey."));
  run(path(),
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rotor' AND pid <> "
      "pg_backend_pid()");
  EXPECT_EQ(base.search("honey", {}).size(), 1U);
}

}  // namespace
}  // namespace rotor::test
