// Chatting in the browser: streamed answers, stopping, answering anew, editing, settings, keys and errors.
#include "tests/server/page_fixture.h"

namespace rotor::test {
namespace {

using nlohmann::json;

TEST_F(PageTest, StreamsAnAnswer) {
  api_->next({.pieces = {"Hello", " there"}, .hangs = true});
  send("Good morning");
  browser_->wait_for_text("Hello there");
  EXPECT_EQ(browser_->text(".message.user .bubble"), "Good morning");
  EXPECT_EQ(browser_->accessible_name("#send"), "Stop");
  EXPECT_EQ(browser_->run("return document.querySelector('.last').getAttribute('aria-busy')"), "true");
  const json request = api_->last_request();
  EXPECT_EQ(request["model"], "rotor-test");
  EXPECT_EQ(request["stream"], true);
  EXPECT_EQ(request["stream_options"], json({{"include_usage", true}}));
  EXPECT_EQ(request["messages"], json({{{"role", "user"}, {"content", "Good morning"}}}));
  EXPECT_FALSE(request.contains("temperature"));
}

TEST_F(PageTest, TellsTokensAndSpeedAndGoesOn) {
  api_->next({.pieces = {"One", " two", " three"}, .pause = std::chrono::milliseconds(300)});
  say("Count");
  EXPECT_EQ(answer(), "One two three");
  const std::string stats = browser_->text(".last .stats");
  EXPECT_TRUE(stats.starts_with("3 tokens · ")) << stats;
  EXPECT_NE(stats.find(" tokens/s · first after "), std::string::npos) << stats;
  EXPECT_NE(stats.find("prompt 7 tokens"), std::string::npos) << stats;
  say("Go on");
  EXPECT_EQ(answer(), "You said: Go on");
  EXPECT_EQ(api_->last_request()["messages"], json({{{"role", "user"}, {"content", "Count"}},
                                                    {{"role", "assistant"}, {"content", "One two three"}},
                                                    {{"role", "user"}, {"content", "Go on"}}}));
}

TEST_F(PageTest, StopsByButtonAndByEscape) {
  for (const bool by_button : {true, false}) {
    api_->reset();
    api_->next({.pieces = {"Half an"}, .hangs = true});
    send("Tell me a story");
    browser_->wait_for_text("Half an");
    if (by_button) {
      browser_->click("#send");
    } else {
      browser_->press({key::kEscape});
    }
    finish();
    EXPECT_EQ(answer(), "Half an");
    EXPECT_NE(browser_->text(".last .stats").find("stopped"), std::string::npos);
    EXPECT_EQ(api_->hangups(), 1) << "the server must be told";
    EXPECT_EQ(browser_->accessible_name("#send"), "Send");
    browser_->click("#new-conversation");
  }
}

TEST_F(PageTest, AnswersAnewAndTakesItBack) {
  api_->next({.pieces = {"First try"}});
  say("Question");
  api_->next({.pieces = {"Second try"}});
  browser_->click(".last [aria-label='Answer anew']");
  browser_->wait_for_text("Second try");
  finish();
  EXPECT_EQ(browser_->count(".message"), 2);
  EXPECT_EQ(api_->last_request()["messages"].size(), 1U);
  browser_->click("#toast button");
  browser_->wait_for_text("First try");
  EXPECT_EQ(browser_->count(".message"), 2);
  browser_->reload();
  browser_->click("#conversations .name");
  EXPECT_EQ(answer(), "First try");
}

TEST_F(PageTest, EditsAndSendsAgain) {
  say("One");
  say("Two");
  browser_->click(".message.user [aria-label='Edit the message']");
  browser_->press({key::kEscape});
  EXPECT_EQ(browser_->count(".message"), 4);
  browser_->click(".message.user [aria-label='Edit the message']");
  browser_->type(".editor textarea", " more");
  browser_->click(".editor .main");
  browser_->wait_for_text("You said: One more");
  finish();
  EXPECT_EQ(browser_->count(".message"), 2);
  EXPECT_EQ(api_->last_request()["messages"], json({{{"role", "user"}, {"content", "One more"}}}));
}

TEST_F(PageTest, DeletesAMessageAndTakesItBack) {
  say("One");
  browser_->click(".last [aria-label='Delete the answer']");
  EXPECT_EQ(browser_->count(".message"), 1);
  browser_->click("#toast button");
  EXPECT_EQ(browser_->count(".message"), 2);
  browser_->click(".last [aria-label='Delete the answer']");
  browser_->click(".last [aria-label='Answer this']");
  finish();
  EXPECT_EQ(answer(), "You said: One");
}

TEST_F(PageTest, TakingBackWhileAnAnswerRunsLosesNothing) {
  say("Keep me");
  api_->next({.pieces = {"Never mind"}, .hangs = true});
  browser_->click(".last [aria-label='Answer anew']");
  browser_->wait_for_text("Never mind");
  browser_->click("#toast button");
  browser_->wait_for_text("You said: Keep me");
  EXPECT_EQ(api_->hangups(), 1);
  browser_->reload();
  browser_->click("#conversations .name");
  EXPECT_EQ(answer(), "You said: Keep me");
}

TEST_F(PageTest, SendsTheSettings) {
  browser_->click("#open-settings");
  browser_->type("#system", "Be brief.");
  const json values = {{"temperature", 1.5},    {"top_p", 0.9},     {"top_k", 50}, {"min_p", 0.02},
                       {"repeat_penalty", 1.1}, {"max_tokens", 64}, {"seed", 7}};
  for (const auto& [name, value] : values.items()) browser_->type("#" + name, value.dump());
  browser_->press({key::kEscape});
  say("Hello");
  for (int round = 0; round < 2; ++round) {
    const json request = api_->last_request();
    for (const auto& [name, value] : values.items()) EXPECT_EQ(request.value(name, json()), value) << name;
    EXPECT_EQ(request["messages"][0], json({{"role", "system"}, {"content", "Be brief."}}));
    browser_->reload();  // they are kept
    say("Again");
  }
}

TEST_F(PageTest, WrongSettingsAreNamedAndNotSent) {
  browser_->click("#open-settings");
  const std::map<std::string, std::string> wrong = {{"temperature", "hot"}, {"top_p", "1.5"},
                                                    {"top_k", "2.5"},       {"min_p", "-0.1"},
                                                    {"max_tokens", "0"},    {"seed", "-1"}};
  for (const auto& [name, text] : wrong) {
    browser_->type("#" + name, text);
    EXPECT_EQ(
        browser_->run("return document.getElementById(arguments[0]).getAttribute('aria-invalid')", {name}),
        "true")
        << name;
  }
  EXPECT_EQ(browser_->text("#top_p-hint"), "At most 1");
  EXPECT_EQ(browser_->text("#temperature-hint"), "A number, please");
  EXPECT_EQ(browser_->text("#top_k-hint"), "A whole number, please");
  browser_->clear("#temperature");
  browser_->type("#temperature", "0");
  browser_->click("#close-settings");
  say("Hello");
  for (const auto& [name, text] : wrong)
    EXPECT_EQ(api_->last_request().contains(name), name == "temperature") << name;
  EXPECT_EQ(api_->last_request()["temperature"], 0);
}

TEST_F(PageTest, ChoosesAModel) {
  api_->set_models({"small", "large"});
  open();
  browser_->type("#model", "large");
  say("Hello");
  EXPECT_EQ(api_->last_request()["model"], "large");
  open();
  say("Hello");
  EXPECT_EQ(api_->last_request()["model"], "large");
}

TEST_F(PageTest, ErrorsAreReadableAndCanBeTriedAgain) {
  struct Case {
    ScriptedAnswer answer;
    std::string shown;
  };
  const std::vector<Case> cases = {
      {{.status = 400, .error = "temperature: expected at least 0"}, "temperature: expected at least 0"},
      {{.status = 429, .error = "The queue is full.", .retry_after = "3"},
       "The server is busy. Try again in 3 s."},
      {{.status = 500, .error = ""}, "The server answers with status 500."},
      {{.pieces = {"Some text"}, .error = "out of memory"}, "out of memory"},
      {{.pieces = {"Some text"}, .breaks_off = true}, "The answer broke off"},
  };
  for (const auto& [scripted, shown] : cases) {
    api_->next(scripted);
    say("Hello");
    EXPECT_NE(browser_->text(".last .error").find(shown), std::string::npos)
        << browser_->text(".last .error");
    EXPECT_EQ(answer(), scripted.pieces.empty() ? "" : "Some text");
    browser_->click(".last .error button");
    browser_->wait_for_text("You said: Hello");
    finish();
    EXPECT_EQ(browser_->count(".error"), 0);
    EXPECT_EQ(browser_->count(".message"), 2);
    browser_->click("#new-conversation");
  }
}

TEST_F(PageTest, AsksForAKeyAndForgetsItWithTheTab) {
  api_->set_key("secret");
  open();
  browser_->wait_for_text("The server wants another API key.");
  browser_->click("#notice-action");
  browser_->type("#api-key", "wrong");
  browser_->press({key::kTab});
  browser_->wait_for("!document.querySelector('#notice').hidden");
  browser_->clear("#api-key");
  browser_->type("#api-key", "secret" + std::string(key::kTab));
  browser_->wait_for("document.querySelector('#notice').hidden && document.querySelector('#model option')");
  browser_->press({key::kEscape});
  say("Hello");
  EXPECT_EQ(answer(), "You said: Hello");
  EXPECT_EQ(browser_->run("return JSON.stringify(localStorage).includes('secret')"), false);
  EXPECT_EQ(browser_->run("return JSON.stringify(sessionStorage).includes('secret')"), true);
  browser_->click("#open-settings");
  browser_->click("#keep-key");
  EXPECT_EQ(browser_->run("return localStorage.getItem('rotor.key')"), "secret");
  EXPECT_EQ(browser_->run("return JSON.stringify(sessionStorage).includes('secret')"), false);
}

}  // namespace
}  // namespace rotor::test
