// What an answer rests on, in the page: the list below it, links to it, and the setting; and that neither
// documents nor models get HTML or links of their own into it.
#include <cstdlib>
#include <fstream>

#include "tests/server/page_fixture.h"

namespace rotor::test {
namespace {

using nlohmann::json;

class PageSources : public PageTest {
 protected:
  static json source(int number, const json& more) {
    json made = {{"number", number},     {"title", "T" + std::to_string(number)},
                 {"source", "notes.md"}, {"heading", ""},
                 {"line", nullptr},      {"page", nullptr},
                 {"score", 0.5},         {"text", "Text " + std::to_string(number)}};
    made.update(more);
    return made;
  }
  static bool is_open(int number) {
    return browser_->run("return document.querySelectorAll('.last .sources details')[arguments[0] - 1].open",
                         json::array({number}));
  }
};

TEST_F(PageSources, AreListedBelowTheAnswerAndOpen) {
  api_->next({.pieces = {"Tides come [", "2], twice [1, 3] a day [9]."},
              .sources = {source(1, {{"title", "Sea"}, {"heading", "Sea > Tides"}, {"line", 7}}),
                          source(2, {{"page", 3}, {"text", "The moon\nmakes them."}}),
                          source(3, {{"source", "https://example.org/a"}})},
              .retrieval = {{"used", true}, {"reason", "score 0.62"}},
              .cited = {2, 1, 3}});
  say("When?");
  EXPECT_EQ(answer(), "Tides come [2], twice [1, 3] a day [9].");
  EXPECT_EQ(browser_->count(".last .sources li"), 3);
  EXPECT_EQ(browser_->text(".last .sources li:nth-child(1) summary"), "[1] Sea > Tides notes.md, line 7");
  EXPECT_EQ(browser_->text(".last .sources li:nth-child(2) summary"), "[2] T2 notes.md, page 3");
  EXPECT_EQ(browser_->count(".last .sources a"), 1);
  EXPECT_EQ(browser_->run("return document.querySelector('.last .sources a').href"), "https://example.org/a");
  browser_->click(".last .sources li:nth-child(2) summary");
  EXPECT_EQ(browser_->text(".last .sources li:nth-child(2) blockquote"), "The moon\nmakes them.");
  EXPECT_EQ(browser_->text(".last .stats").find("no sources"), std::string::npos);

  EXPECT_EQ(browser_->count(".last .text .citation"), 3) << "there is no ninth";
  EXPECT_EQ(browser_->accessible_name(".last .text .citation"), "Source 2");
  EXPECT_FALSE(is_open(3));
  const json address = browser_->run("return location.href");
  browser_->run("document.querySelectorAll('.last .text .citation')[2].click()");
  EXPECT_TRUE(is_open(3));
  EXPECT_EQ(browser_->run("return document.activeElement.textContent").get<std::string>().substr(0, 3),
            "[3]");
  EXPECT_EQ(browser_->run("return location.href"), address);

  browser_->reload();
  browser_->wait_for("document.querySelectorAll('.last .text .citation').length === 3");
  EXPECT_EQ(browser_->count(".last .sources li"), 3) << "they stay with the conversation";
  if (const char* picture = std::getenv("ROTOR_PAGE_PICTURE"); picture != nullptr) {
    browser_->run("document.querySelectorAll('.last .sources details')[1].open = true");
    std::ofstream(picture, std::ios::binary) << browser_->screenshot();
  }
}

TEST_F(PageSources, AreThereWhileTheAnswerIsWrittenAndStayOpen) {
  api_->next({.pieces = {"First [1] ", "and last."},
              .pause = std::chrono::milliseconds(700),
              .sources = {source(1, json::object())}});
  send("When?");
  browser_->wait_for("document.querySelector('.last .sources summary')");
  browser_->click(".last .sources summary");
  finish();
  EXPECT_TRUE(is_open(1));
}

TEST_F(PageSources, WithoutAnyTheReasonIsSaid) {
  api_->next({.pieces = {"By myself [1]."},
              .sources = json::array(),
              .retrieval = {{"used", false}, {"reason", "score 0.31 below 0.35"}}});
  say("When?");
  EXPECT_EQ(browser_->count(".sources, .citation"), 0);
  EXPECT_NE(browser_->text(".last .stats").find("no sources: score 0.31 below 0.35"), std::string::npos);
}

TEST_F(PageSources, HostileDocumentsAreText) {
  const std::string evil = "<img src=x onerror=\"window.evil = 1\"><script>window.evil = 1</script>";
  api_->next({.pieces = {"See [1] `a[1]` and [2](javascript:window.evil=1) " + evil},
              .sources = {source(1, {{"title", evil},
                                     {"heading", evil},
                                     {"source", "javascript:window.evil=1"},
                                     {"line", evil},
                                     {"page", json::object()},
                                     {"text", evil}}),
                          source(2, {{"title", nullptr}, {"source", nullptr}, {"text", nullptr}}),
                          json(nullptr), json("x")},
              .cited = {1, "x", "1,*", -3}});
  say("When?");
  EXPECT_EQ(browser_->count(".last .sources li"), 2);
  EXPECT_EQ(browser_->count(".last img, .last script, .last .sources a"), 0);
  EXPECT_EQ(browser_->count(".last .text code .citation"), 0) << "code names no source";
  browser_->run("document.querySelectorAll('.last .sources details')[0].open = true");
  EXPECT_EQ(browser_->text(".last .sources li:nth-child(1) blockquote"), evil);
  EXPECT_TRUE(browser_->run("return window.evil === undefined"));
  EXPECT_EQ(browser_->count(".last a[href^=javascript]"), 0);
}

TEST_F(PageSources, TheSettingIsThereIfTheServerHasABase) {
  EXPECT_TRUE(browser_->run("return document.querySelector('#retrieval-section').hidden"));
  say("One");
  EXPECT_FALSE(api_->last_request().contains("retrieval"));
  api_->set_retrieval("auto");
  open();
  browser_->click("#open-settings");
  EXPECT_FALSE(browser_->run("return document.querySelector('#retrieval-section').hidden"));
  EXPECT_EQ(browser_->text("#retrieval option"), "As the server does by itself (auto)");
  EXPECT_EQ(browser_->accessible_name("#retrieval"), "When answers rest on the server's documents");
  browser_->run(
      "const select = document.querySelector('#retrieval'); select.value = 'always';"
      "select.dispatchEvent(new Event('change'))");
  browser_->press({key::kEscape});
  say("Two");
  EXPECT_EQ(api_->last_request()["retrieval"], "always");
  browser_->reload();
  browser_->wait_for("document.querySelector('#model option')");
  say("Three");
  EXPECT_EQ(api_->last_request()["retrieval"], "always") << "it is kept";
  api_->set_retrieval(nullptr);
  browser_->reload();
  browser_->wait_for("document.querySelector('#model option')");
  say("Four");
  EXPECT_FALSE(api_->last_request().contains("retrieval")) << "a server without a base would refuse it";
}

}  // namespace
}  // namespace rotor::test
