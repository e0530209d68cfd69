// The page as `rotor serve` gives it out, with a model's answers.
#include <csignal>

#include "tests/server/page_fixture.h"
#include "tests/support/chat_model.h"
#include "tests/support/server_process.h"

namespace rotor::test {
namespace {

class ServedPageTest : public PageTest {
 protected:
  ServedPageTest() { write_chat_model(dir_.file("model.rotor"), 512); }
  static void open_page(const ServerProcess& server) {
    browser_->open("http://127.0.0.1:" + std::to_string(server.port()) + "/");
  }
  TempDir dir_;
};

TEST_F(ServedPageTest, AModelAnswers) {
  ServerProcess server(dir_, {"--port", "0", "--alias", "tiny", "--temp", "0", "--logit-bias", "97+50"});
  ASSERT_GT(server.port(), 0) << server.log();
  open_page(server);
  browser_->wait_for("document.querySelector('#model option')?.textContent == 'tiny'");
  say("Good morning");
  EXPECT_FALSE(answer().empty());
  EXPECT_NE(browser_->text(".last .stats").find(" token"), std::string::npos)
      << browser_->text(".last .stats");
  say("And now?");  // the conversation goes on
  EXPECT_EQ(browser_->count(".message.user"), 2);
  EXPECT_NE(server.log().find("path=/v1/chat/completions status=200"), std::string::npos) << server.log();
  EXPECT_EQ(server.stop(SIGTERM), 0) << server.log();
}

TEST_F(ServedPageTest, AsksForTheKey) {
  ServerProcess server(dir_, {"--port", "0", "--api-key", "open-sesame"});
  open_page(server);
  browser_->wait_for("!document.querySelector('#notice').hidden");
  EXPECT_EQ(browser_->count("#model option"), 0);
}

}  // namespace
}  // namespace rotor::test
