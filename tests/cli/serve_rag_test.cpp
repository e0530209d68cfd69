// rotor serve --rag, with a base of its own: answers, metrics, and what the log holds.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "rotor/formats/json.h"
#include "tests/support/chat_model.h"
#include "tests/support/command.h"
#include "tests/support/http_client.h"
#include "tests/support/server_process.h"
#include "tests/support/temp_dir.h"

namespace rotor::test {
namespace {

class ServeRagTest : public ::testing::Test {
 protected:
  ServeRagTest() {
    write_chat_model(dir_.file("model.rotor"), 4096);
    write_bytes(dir_.file("tides.md"), "# Tides\n\nThe moon makes the tides.\n");
    const CommandResult added = run_command({program("rotor"), "rag", "add", base_, dir_.file("tides.md")});
    EXPECT_EQ(added.status, 0) << added.err;
  }
  static Json ask(HttpClient& client, const Json& more) {
    Json body = {{"messages", {{{"role", "user"}, {"content", "Which moon makes tides, pray-tell?"}}}},
                 {"max_tokens", 4},
                 {"temperature", 0}};
    body.update(more);
    const HttpAnswer answer =
        client.request("POST", "/v1/chat/completions", "Content-Type: application/json\r\n", body.dump());
    EXPECT_EQ(answer.status, 200) << answer.body;
    return parse_json(answer.body, "the answer");
  }

  const TempDir dir_;
  const std::string base_ = dir_.file("notes.db");
};

TEST_F(ServeRagTest, AnswersHaveSources) {
  ServerProcess server(dir_, {"--port", "0", "--rag", base_, "--log-level", "debug"});
  ASSERT_GT(server.port(), 0) << server.log();
  HttpClient client(server.port());
  const Json models = parse_json(client.request("GET", "/v1/models").body, "the models");
  EXPECT_EQ(models["data"][0]["retrieval"], "auto");
  const Json used = ask(client, Json::object());
  EXPECT_EQ(used["retrieval"]["used"], true) << used;
  ASSERT_EQ(used["sources"].size(), 1U) << used;
  const Json& source = used["sources"][0];
  EXPECT_EQ(source["heading"], "Tides");
  EXPECT_EQ(source["line"], 3);
  EXPECT_EQ(source["text"], "The moon makes the tides.");
  EXPECT_GT(source["score"], 0.35);
  const Json never = ask(client, {{"retrieval", "never"}});
  EXPECT_EQ(never["retrieval"]["used"], false);
  EXPECT_GT(used["usage"]["prompt_tokens"], never["usage"]["prompt_tokens"].get<int>() + 200);
  const Json filtered = ask(client, {{"retrieval", {{"mode", "always"}, {"filter", {"title=other"}}}}});
  EXPECT_EQ(filtered["retrieval"]["reason"], "nothing was found");

  const std::string metrics = client.request("GET", "/metrics").body;
  for (const char* line :
       {"rotor_retrievals_total{outcome=\"used\"} 1", "rotor_retrievals_total{outcome=\"never\"} 1",
        "rotor_retrievals_total{outcome=\"nothing\"} 1", "rotor_retrieval_seconds_count 2"}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << metrics;
  }
  write_bytes(base_, std::string(std::filesystem::file_size(base_), 'x'));
  const Json broken = ask(client, {{"retrieval", "always"}});
  EXPECT_EQ(broken["retrieval"]["reason"], "the knowledge base could not be searched");
  EXPECT_EQ(broken["choices"][0]["message"]["content"], never["choices"][0]["message"]["content"]);
  EXPECT_NE(server.log().find("warning the knowledge base could not be searched"), std::string::npos)
      << server.log();
  EXPECT_EQ(server.log().find("pray"), std::string::npos) << "what was asked is in no log";
  EXPECT_EQ(server.stop(SIGTERM), 0) << server.log();
}

TEST_F(ServeRagTest, FollowsAFolder) {
  const std::string folder = dir_.file("watched");
  std::filesystem::create_directories(folder);
  ServerProcess server(dir_, {"--port", "0", "--rag", base_, "--retrieval", "always", "--watch", folder});
  ASSERT_GT(server.port(), 0) << server.log();
  HttpClient client(server.port());
  // The title of the best source is `title` after a while; 20 s where 2 s are promised, on a busy machine.
  const auto becomes = [&](const std::string& title) {
    for (int i = 0; i < 200; ++i) {
      const Json answer =
          ask(client, {{"messages", {{{"role", "user"}, {"content", "When do snowdrops flower here?"}}}}});
      const Json& sources = answer["sources"];
      if (title.empty() ? sources.empty() : !sources.empty() && sources[0]["title"] == title) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  };
  EXPECT_TRUE(becomes("")) << server.log();
  write_bytes(folder + "/garden.txt", "Snowdrops flower in February.");
  EXPECT_TRUE(becomes("garden")) << server.log();
  std::filesystem::rename(folder + "/garden.txt", folder + "/spring.txt");
  EXPECT_TRUE(becomes("spring")) << server.log();
  std::filesystem::remove(folder + "/spring.txt");
  EXPECT_TRUE(becomes("")) << server.log();
  EXPECT_NE(server.log().find("1 added"), std::string::npos) << server.log();
  EXPECT_EQ(server.stop(SIGTERM), 0) << server.log();
}

TEST_F(ServeRagTest, ABaseThatIsNotThereEndsTheStart) {
  const CommandResult result = run_command(
      {program("rotor"), "serve", dir_.file("model.rotor"), "--port", "0", "--rag", dir_.file("none.db")});
  EXPECT_EQ(result.status, 1);
  EXPECT_NE(result.err.find("none.db"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace rotor::test
