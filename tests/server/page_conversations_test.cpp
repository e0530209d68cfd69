// Conversations in the browser's store: they outlive a reload, travel as JSON, and a store that is full loses
// nothing silently.
#include <fstream>

#include "tests/server/page_fixture.h"

namespace rotor::test {
namespace {

using nlohmann::json;

/// The content of a download, once it is complete.
json downloaded(const std::string& path) {
  for (int i = 0; i < 500; ++i) {
    const json file = json::parse(read_bytes(path), nullptr, /*allow_exceptions=*/false);
    if (file.is_object()) return file;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

TEST_F(PageTest, ConversationsOutliveAReload) {
  say("About cats");
  browser_->click("#new-conversation");
  EXPECT_EQ(browser_->count(".message"), 0);
  say("About dogs");
  browser_->reload();
  EXPECT_EQ(answer(), "You said: About dogs") << "the one that was open";
  EXPECT_EQ(browser_->count("#conversations li"), 2);
  EXPECT_EQ(browser_->text("#conversations li:first-child .name"), "About dogs");
  open();
  EXPECT_EQ(browser_->count(".message"), 0) << "without a name in the address a new one begins";
  browser_->click("#conversations li:last-child .name");
  EXPECT_EQ(answer(), "You said: About cats");
  EXPECT_EQ(browser_->text("#title"), "About cats");
  say("More");
  EXPECT_EQ(api_->last_request()["messages"].size(), 3U);
}

TEST_F(PageTest, AnAnswerThatWasCutByAReloadIsKept) {
  api_->next({.pieces = {"Half of"}, .hangs = true});
  send("Tell me");
  browser_->wait_for_text("Half of");
  browser_->reload();
  browser_->click("#conversations .name");
  EXPECT_EQ(answer(), "Half of");
  EXPECT_EQ(browser_->run("return document.querySelector('.last').getAttribute('aria-busy')"), "false");
}

TEST_F(PageTest, LeavingAConversationStopsItsAnswer) {
  api_->next({.pieces = {"Half of"}, .hangs = true});
  send("Tell me");
  browser_->wait_for_text("Half of");
  browser_->click("#new-conversation");
  EXPECT_EQ(api_->hangups(), 1);
  EXPECT_EQ(browser_->count(".message"), 0);
  say("Something else");
  browser_->click("#conversations li:last-child .name");
  EXPECT_EQ(answer(), "Half of");
}

TEST_F(PageTest, RenamesAndDeletesAndTakesItBack) {
  say("About cats");
  browser_->click("#conversations [aria-label^=Rename]");
  browser_->press(
      {"F", "e", "l", "i", "n", "e", "s", key::kEnter});  // in place of the old name, which is selected
  EXPECT_EQ(browser_->text("#conversations .name"), "Felines");
  EXPECT_EQ(browser_->text("#title"), "Felines");
  browser_->click("#conversations [aria-label^=Delete]");
  EXPECT_EQ(browser_->count("#conversations li"), 0);
  EXPECT_EQ(browser_->count(".message"), 0);
  browser_->click("#toast button");
  EXPECT_EQ(browser_->text("#conversations .name"), "Felines");
  browser_->click("#conversations li [aria-label^=Delete]");
  browser_->reload();
  EXPECT_EQ(browser_->count("#conversations li"), 0);
}

TEST_F(PageTest, ExportsAndImports) {
  say("About cats");
  browser_->click("#conversations [aria-label^=Export]");
  const json one = downloaded(files_->file("rotor-About-cats.json"));
  EXPECT_EQ(one["conversations"].size(), 1U);
  browser_->click("#new-conversation");
  say("About dogs");
  browser_->click("#open-settings");
  browser_->click("#export-all");
  const json all = downloaded(files_->file("rotor-conversations.json"));
  ASSERT_EQ(all["conversations"].size(), 2U);
  EXPECT_EQ(all["conversations"][1]["messages"][1]["content"], "You said: About cats");
  browser_->press({key::kEscape});

  browser_->click("#conversations li:last-child .name");
  browser_->click("#conversations .current [aria-label^=Delete]");
  browser_->click("#open-settings");
  browser_->type("#import-file", files_->file("rotor-conversations.json"));
  browser_->wait_for_text("2 conversations imported.");
  EXPECT_EQ(browser_->count("#conversations li"), 2) << "one was there, and is the same";
  browser_->click("#conversations li:last-child .name");
  EXPECT_EQ(answer(), "You said: About cats");
  say("What else?");
  browser_->click("#open-settings");
  browser_->type("#import-file", files_->file("rotor-conversations.json"));
  browser_->wait_for("document.querySelectorAll('#conversations li').length === 3");
}

TEST_F(PageTest, WhatIsNoExportIsRefused) {
  const json sound = {{"id", "a"}, {"title", "T"}, {"messages", {{{"role", "user"}, {"content", "x"}}}}};
  json no_role = sound;
  no_role["messages"][0]["role"] = "king";
  json bad_id = sound;
  bad_id["id"] = "<img>";
  const auto file = [](const json& conversation, int version = 1) {
    return json{{"format", "rotor-conversations"}, {"version", version}, {"conversations", {conversation}}}
        .dump();
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"{", "it is no JSON"},
      {"[]", "it is no export of conversations"},
      {file(sound, 2), "it has version 2, and this page reads version 1"},
      {file(no_role), "message 1 of conversation a has no role or no content"},
      {file(bad_id), "a conversation has no usable id"},
      {file(nullptr), "a conversation is no object"},
  };
  for (const auto& [text, said] : cases) {
    write_bytes(files_->file("bad.json"), text);
    browser_->click("#open-settings");
    browser_->type("#import-file", files_->file("bad.json"));
    browser_->wait_for_text("bad.json was not imported: " + said);
    EXPECT_EQ(browser_->count("#conversations li"), 0);
    browser_->click("#notice-action");
  }
}

TEST_F(PageTest, ABrokenEntryOfTheStoreHidesNoOther) {
  say("About cats");
  browser_->run(
      R"(localStorage.setItem('rotor.conversation.x', '{'); localStorage.setItem('rotor.conversation.y', 'null');
      localStorage.setItem('rotor.conversation.z', '{"id":"z","messages":[{"role":"user"}]}');
      localStorage.setItem('rotor.settings', '{'))");
  browser_->reload();
  EXPECT_EQ(browser_->count("#conversations li"), 1);
  say("Still works");
  EXPECT_EQ(answer(), "You said: Still works");
  browser_->take_log("browser");
}

TEST_F(PageTest, AFullStoreSaysSoAndTheConversationGoesOn) {
  say("About cats");
  browser_->run(R"(let size = 1 << 20;
      for (let i = 0; size >= 1; ++i) {
        try { localStorage.setItem(`fill${i}`, 'x'.repeat(size)) } catch { size = Math.floor(size / 2) }
      })");
  say("A question that has no place any more");
  EXPECT_EQ(answer(), "You said: A question that has no place any more");
  EXPECT_NE(browser_->text("#notice").find("The browser's store is full"), std::string::npos);
  say("And on");
  EXPECT_EQ(api_->last_request()["messages"].size(), 5U);
  browser_->click("#conversations [aria-label^=Export]");
  EXPECT_EQ(browser_->count("#conversations li"), 1);
}

TEST_F(PageTest, AnotherTabsConversationAppears) {
  say("About cats");
  // What a browser sends to the other pages of a server when one of them stores something.
  browser_->run(
      R"(const value = JSON.stringify({id: 'other', title: 'Elsewhere', system: '', created: 1, updated: 9e15,
        messages: [{role: 'user', content: 'hi'}]});
      localStorage.setItem('rotor.conversation.other', value);
      dispatchEvent(new StorageEvent('storage', {key: 'rotor.conversation.other', newValue: value})))");
  EXPECT_EQ(browser_->text("#conversations li:first-child .name"), "Elsewhere");
}

}  // namespace
}  // namespace rotor::test
