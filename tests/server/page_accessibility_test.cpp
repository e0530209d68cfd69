// The page for everyone: keyboard alone, light and dark, a phone's width, names and contrast; and without any
// network beside its server.
#include <set>

#include "tests/server/page_fixture.h"

namespace rotor::test {
namespace {

using nlohmann::json;

constexpr const char* kRichAnswer =
    "# Title\n\nSome `code`, a [link](https://example.org).\n\n> A quote\n\n1. one\n2. two\n\n"
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\n# comment\nclass A(B):\n    @p\n    def f(x: int) -> "
    "str:\n"
    "        return \"text\" + str(1.5) if None else r'x'\n```\n\n```cpp\n#include <map>\nstd::string f(int "
    "x) { return \"a\"; }\n"
    "template <class T> struct A { const bool b = true; };\n```\n\n```css\n#a .b { color: red; }\n```\n\n"
    "```html\n<p class=\"x\">text</p>\n```\n\n```diff\n+ a\n- b\n```\n";

/// Text whose contrast with the ground under it is below WCAG 2.1's 4.5 (3 from 24 px or bold 18.66 px on),
/// as "ratio text"; https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
constexpr const char* kPoorContrasts = R"(
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return {rgb: [r, g, b], a: a / 255};
  };
  const over = (top, below) => top.rgb.map((c, i) => c * top.a + below[i] * (1 - top.a));
  const ground = (node) => {
    if (!node) return [255, 255, 255];
    const colour = rgba(getComputedStyle(node).backgroundColor);
    return colour.a === 1 ? colour.rgb : over(colour, ground(node.parentElement));
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const poor = [];
  let looked = 0;
  const check = (node, text, colour) => {
    const style = getComputedStyle(node), below = ground(node);
    const a = luminance(over(rgba(colour ?? style.color), below)), b = luminance(below);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), size = parseFloat(style.fontSize);
    const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
    ++looked;
    if (ratio < least) poor.push(`${ratio.toFixed(2)} ${node.className} ${text.trim().slice(0, 30)}`);
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.data, node = texts.currentNode.parentElement;
    if (text.trim() && node.checkVisibility({visibilityProperty: true}) && !node.closest('.unseen, svg, option')) check(node, text);
  }
  for (const node of document.querySelectorAll('button, select')) if (node.checkVisibility({visibilityProperty: true})) check(node, node.ariaLabel ?? '');
  for (const node of document.querySelectorAll('[placeholder]')) {
    if (node.checkVisibility()) check(node, node.placeholder, getComputedStyle(node, '::placeholder').color);
  }
  return {looked, poor};
)";

class PageLook : public PageTest {
 protected:
  static void expect_contrast(const std::string& where) {
    const json found = browser_->run(kPoorContrasts);
    EXPECT_GT(found["looked"], 15) << where;
    EXPECT_EQ(found["poor"], json::array()) << where;
  }
  static void show_much() {
    api_->next({.pieces = {kRichAnswer},
                .finish_reason = "length",
                .sources = {{{"number", 1}, {"title", "A"}, {"source", "a.md"}, {"text", "Page 7"}},
                            {{"number", 2}, {"title", "B"}, {"source", "b.md"}, {"text", "Page 8"}}},
                .cited = {2}});
    say("Show me");
    browser_->run("document.querySelector('.sources details').open = true");
    browser_->wait_for("document.querySelectorAll('.hljs-keyword, .hljs-attr').length > 2");
    api_->next({.status = 400, .error = "temperature: expected at least 0"});
    say("Fail");
  }
};

TEST_F(PageLook, LightAndDarkByDeviceAndByChoice) {
  const auto ground = [] { return browser_->run("return getComputedStyle(document.body).backgroundColor"); };
  const json light = ground();
  EXPECT_EQ(light, "rgb(255, 255, 255)");
  browser_->set_colour_scheme("dark");
  const json dark = ground();
  EXPECT_NE(dark, light);
  browser_->click("#open-settings");
  browser_->click("#theme [value=light]");
  EXPECT_EQ(ground(), light);
  browser_->reload();
  EXPECT_EQ(ground(), light) << "the choice is kept";
  browser_->set_colour_scheme("light");
  browser_->click("#open-settings");
  browser_->click("#theme [value=dark]");
  EXPECT_EQ(ground(), dark);
  browser_->click("#theme [value=system]");
  EXPECT_EQ(ground(), light);
}

TEST_F(PageLook, ContrastIsEnoughInBothThemes) {
  for (const char* scheme : {"light", "dark"}) {
    browser_->set_colour_scheme(scheme);
    browser_->click("#new-conversation");
    expect_contrast(std::string("welcome, ") + scheme);
    show_much();
    expect_contrast(std::string("messages, ") + scheme);
    browser_->click("#open-settings");
    browser_->clear("#top_p");
    browser_->type("#top_p", "2");
    expect_contrast(std::string("settings, ") + scheme);
    browser_->click("#close-settings");
  }
}

TEST_F(PageLook, EverythingHasANameAndARole) {
  show_much();
  browser_->click(".message.user [aria-label='Edit the message']");
  EXPECT_EQ(browser_->run("return document.documentElement.lang"), "en");
  EXPECT_EQ(browser_->count("main, [role=main]"), 1);
  EXPECT_EQ(browser_->count("#messages[role=log]"), 1);
  EXPECT_EQ(browser_->run("const ids = [...document.querySelectorAll('[id]')].map((n) => n.id); return "
                          "ids.length - new Set(ids).size"),
            0);
  for (const bool settings : {false, true}) {
    if (settings) browser_->click("#open-settings");
    int controls = 0;
    const json tree = browser_->devtools("Accessibility.getFullAXTree", json::object());
    for (const json& node : tree["nodes"]) {
      static const std::set<std::string> kNamed = {
          "button", "link",       "textbox",       "combobox", "checkbox", "radio",  "radiogroup",
          "region", "navigation", "complementary", "dialog",   "log",      "article"};
      if (node.value("ignored", false) || !kNamed.contains(node["role"].value("value", ""))) continue;
      EXPECT_NE(node["name"].value("value", ""), "") << node.dump();
      ++controls;
    }
    EXPECT_GT(controls, settings ? 20 : 35);
  }
}

/// A name of what has the focus, and whether one can see that it has.
constexpr const char* kFocus = R"(
  const node = document.activeElement, style = getComputedStyle(node), box = node.closest('.box') ?? node;
  const seen = style.outlineStyle !== 'none' || getComputedStyle(box).boxShadow !== 'none';
  return [node.id || node.ariaLabel || node.textContent.trim().slice(0, 40), seen, node === document.body]
)";

TEST_F(PageLook, ByKeyboardAlone) {
  browser_->wait_for("document.activeElement.id === 'message'");
  browser_->press({"H", "i"});
  browser_->press({key::kEnter}, key::kShift);
  browser_->press({"y", "o", "u", key::kEnter});
  finish();
  EXPECT_EQ(api_->last_request()["messages"][0]["content"], "Hi\nyou");
  api_->next({.pieces = {"Half"}, .hangs = true});
  browser_->press({"m", "o", "r", "e", key::kEnter});
  browser_->wait_for_text("Half");
  browser_->press({key::kEscape});
  finish();

  std::set<std::string> reached;
  for (int i = 0; i < 50; ++i) {
    browser_->press({key::kTab});
    const json focus = browser_->run(kFocus);
    if (focus[2]) continue;  // past the last, where a browser's own controls would be
    EXPECT_EQ(focus[1], true) << focus[0] << " does not show that it has the focus";
    if (!reached.insert(focus[0]).second && focus[0] == "message") break;
  }
  for (const char* control :
       {"message", "send", "new-conversation", "model", "open-settings", "toggle-sidebar", "Edit the message",
        "Answer anew", "Delete the answer", "Copy the answer", "Rename: Hi", "Delete: Hi"}) {
    EXPECT_TRUE(reached.contains(control)) << control;
  }

  browser_->run("document.getElementById('open-settings').focus()");
  browser_->press({key::kEnter});
  browser_->wait_for("document.getElementById('settings').open");
  for (int i = 0; i < 8; ++i) {
    browser_->press({key::kTab, key::kTab, key::kTab});
    EXPECT_TRUE(browser_
                    ->run("return document.activeElement === document.body || "
                          "Boolean(document.activeElement.closest('#settings'))")
                    .get<bool>());
  }
  browser_->press({key::kEscape});
  EXPECT_EQ(browser_->run(kFocus)[0], "open-settings") << "the focus goes back";
}

TEST_F(PageLook, APhonesWidth) {
  browser_->set_viewport(360, 740);
  open();
  const auto expect_fits = [](const std::string& where) {
    EXPECT_EQ(browser_->run(R"(
        const wide = [...document.querySelectorAll('body, body *')].filter((node) =>
          node.checkVisibility() && !node.closest('pre, .table, .unseen, .skip, #thread svg') && node.getBoundingClientRect().right > 360.5);
        return wide.map((node) => node.outerHTML.slice(0, 80)))"),
              json::array())
        << where;
    EXPECT_LE(browser_->run("return Math.max(document.documentElement.scrollWidth, "
                            "document.getElementById('thread').scrollWidth)"),
              360)
        << where;
  };
  expect_fits("welcome");
  show_much();
  send(std::string(200, 'w'));
  finish();
  expect_fits("messages");
  EXPECT_EQ(
      browser_->run("return [...document.querySelectorAll('#main button')].filter((b) => "
                    "b.checkVisibility({visibilityProperty: true}))"
                    ".filter((b) => Math.min(b.offsetWidth, b.offsetHeight) < 24).map((b) => b.outerHTML)"),
      json::array())
      << "too small for a finger";
  browser_->click("#toggle-sidebar");
  expect_fits("conversations");
  EXPECT_EQ(browser_->run("return document.getElementById('main').inert"), true);
  browser_->press({key::kEscape});
  EXPECT_EQ(browser_->run("return document.body.classList.contains('sidebar')"), false);
  browser_->click("#open-settings");
  expect_fits("settings");
}

TEST_F(PageLook, FollowsTheEndOnlyForWhoIsThere) {
  std::vector<std::string> pieces;
  for (int i = 0; i < 60; ++i) pieces.push_back("Paragraph " + std::to_string(i) + ".\n\n");
  api_->next({.pieces = pieces, .pause = std::chrono::milliseconds(20)});
  const auto from_end = [] {
    return browser_
        ->run(
            "const t = document.getElementById('thread'); return t.scrollHeight - t.scrollTop - "
            "t.clientHeight")
        .get<double>();
  };
  send("Long");
  browser_->wait_for_text("Paragraph 25.");
  EXPECT_LT(from_end(), 50);
  browser_->run("document.getElementById('thread').scrollTop = 5");
  browser_->wait_for("!document.getElementById('to-end').hidden");
  finish();
  EXPECT_EQ(browser_->run("return document.getElementById('thread').scrollTop"), 5);
  browser_->click("#to-end");
  EXPECT_LT(from_end(), 2);
}

TEST_F(PageLook, NothingJumpsWhileAnAnswerComes) {
  browser_->run(R"(window.shift = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((entry) => { window.shift += entry.value }))
        .observe({type: 'layout-shift'}))");
  api_->next({.pieces = {"One.\n\n", "```python\nx = 1\n", "y = 2\n```\n", "\nTwo."},
              .pause = std::chrono::milliseconds(60)});
  say("Go");
  browser_->run("return new Promise((done) => setTimeout(done, 100))");
  // Cumulative layout shift; 0.1 is what https://web.dev/articles/cls calls good, and typing and sending move
  // the welcome away.
  EXPECT_LT(browser_->run("return window.shift").get<double>(), 0.05);
}

TEST_F(PageLook, NothingLeavesForAnotherServer) {
  show_much();
  browser_->click("#open-settings");
  std::set<std::string> addresses;
  for (const auto& entry : browser_->take_log("performance")) {
    const json event = json::parse(entry["message"].get<std::string>())["message"];
    if (event["method"] == "Network.requestWillBeSent") addresses.insert(event["params"]["request"]["url"]);
  }
  EXPECT_TRUE(addresses.contains(api_->address() + "vendor/highlight.js"));
  EXPECT_GE(addresses.size(), 12U);
  for (const std::string& address : addresses) EXPECT_TRUE(address.starts_with(api_->address())) << address;
}

}  // namespace
}  // namespace rotor::test
