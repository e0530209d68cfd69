// HTML: structure, lines, what is left out, encodings that pages name, and what is hostile.
#include <chrono>

#include "rotor/text/stream_decoder.h"
#include "runtime/rag/readers/text.h"
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

class HtmlReader : public ReaderTest {};

std::string html_outline(const std::string& html) {
  return outline(rag::read_html(html));
}

TEST_F(HtmlReader, StructureAndLines) {
  const rag::Document document = rag::read_html(
      "<!DOCTYPE html>\n<html><head><title> All\n about  bees </title></head><body>\n<h1>Bees</h1>\n<p>They "
      "<b>fly</b>\n"
      "  far.<br>And hum.</p>\n\n\n  Bare text.\n<pre><code>int a;\n  int b;\n</code></pre>\n"
      "<blockquote>Quoted</blockquote></body></html>");
  EXPECT_EQ(document.title, "All about bees");
  EXPECT_EQ(outline(document),
            "h1@4 Bees\np@5 They fly far.~And hum.\np@9 Bare text.\nc@10 int a;~  int b;\np@13 Quoted\n");
  EXPECT_EQ(rag::read_html("<h2>Two</h2><h1>One</h1>").title, "One");
}

TEST_F(HtmlReader, ListsKeepTheirNesting) {
  EXPECT_EQ(
      html_outline("<ul>\n<li>one<ol><li>two</ol><li><p>three</p><p>more</p><div>end</div></ul><p>after"),
      "i1@2 one\ni2@2 two\ni1@2 three\ni1@2 more\ni1@2 end\np@2 after\n");
  EXPECT_EQ(html_outline("<dl><dt>Queen</dt><dd>Lays eggs.</dd></dl>"), "i1@1 Queen\ni1@1 Lays eggs.\n");
}

TEST_F(HtmlReader, TablesHaveALineARow) {
  EXPECT_EQ(
      html_outline(
          "<table><caption>Eggs</caption><thead><tr><th>bee<th>a day</thead>\n<tr><td><p>queen</p><td> 2,000"
          "<br>or so <tr><td><td>0</table>"),
      "t@1 Eggs~bee | a day~queen | 2,000 or so~| 0\n");
  // Pages were laid out with tables.
  EXPECT_EQ(html_outline("<table><tr><td><h1>Bees</h1><p>Fly.<td><table><tr><td>a<td>b</table></table>"),
            "h1@1 Bees\np@1 Fly.\nt@1 a | b\n");
}

TEST_F(HtmlReader, WhatIsNoTextIsLeftOut) {
  EXPECT_EQ(
      html_outline(
          "<nav>Home</nav><script>let a = '<p>no</p>';</script><style>p { }</style><template><p>no</template>"
          "<noscript>no</noscript><svg><text>no</text></svg><p hidden>no</p><!-- no --><button>no</button>"
          "<select><option>no</select><form><p>In a form.</form><p>&nbsp;</p><p> </p><footer>2026</footer>"),
      "p@1 In a form.\np@1 2026\n");
}

TEST_F(HtmlReader, BlocksWithinHeadingsAndCodeArePartsOfThem) {
  EXPECT_EQ(html_outline("<h1><div>All</div><div>bees</div></h1><pre><div>a</div><div>b</div></pre>"),
            "h1@1 All bees\nc@1 a~b\n");
}

TEST_F(HtmlReader, EntitiesAreWhatTheyStandFor) {
  EXPECT_EQ(
      html_outline(
          "<p>&lt;b&gt; &amp;amp; caf&eacute; &#8364;&#x1F41D; a&nbsp;&nbsp;b so&shy;ft &bogus; AT&T &copy"),
      "p@1 <b> &amp; caf\u00e9 \u20ac\U0001F41D a b soft &bogus; AT&T \u00a9\n");
}

TEST_F(HtmlReader, NumbersOfNoCharacterAreNone) {
  for (const char* number : {"&#xdddddddddddddddddd", "&#xdddddddddddddddddd;", "&#99999999999;", "&#xD800;",
                             "&#x110000;", "&#0;"}) {
    const rag::Document document =
        rag::read_html(cat("<title>T", number, "</title><p>bees ", number, " hives"));
    ASSERT_EQ(document.blocks.size(), 1U) << number;
    const std::string& text = document.blocks[0].text;
    EXPECT_EQ(text::valid_utf8_prefix(text), text.size()) << number;
    EXPECT_NE(text.find("\uFFFD"), std::string::npos) << number << ": " << text;
    EXPECT_TRUE(text.starts_with("bees ") && text.ends_with(" hives")) << number << ": " << text;
    EXPECT_EQ(text::valid_utf8_prefix(document.title), document.title.size()) << number;
    const std::string entity = rag::entity_text(number);
    EXPECT_EQ(text::valid_utf8_prefix(entity), entity.size()) << number;
  }
}

TEST_F(HtmlReader, PagesNameTheirEncoding) {
  const auto read_page = [&](const std::string& bytes) { return outline(read_bytes_as("p.html", bytes)); };
  EXPECT_EQ(read_page("<meta charset=\"iso-8859-1\"><p>caf\xe9 \x93quoted\x94"),
            "p@1 caf\u00e9 \u201cquoted\u201d\n");
  EXPECT_EQ(read_page("<META HTTP-EQUIV='Content-Type' CONTENT='text/html; "
                      "charset=windows-1251'><p>\xef\xf7\xe5\xeb\xe0"),
            "p@1 \u043f\u0447\u0435\u043b\u0430\n");
  EXPECT_EQ(read_page("<meta name=a><meta charset=Shift_JIS><p>\x96\xa8\x96\x49"), "p@1 \u871c\u8702\n");
  EXPECT_EQ(read_page("<?xml version='1.0' encoding='ISO-8859-15'?><p>\xa4"), "p@1 \u20ac\n");
  // A mark in the file wins; a name in UTF-16 in ASCII is a mistake; what is asked for wins.
  EXPECT_EQ(read_page("\xEF\xBB\xBF<meta charset=iso-8859-1><p>caf\u00e9"), "p@1 caf\u00e9\n");
  EXPECT_EQ(read_page("<meta charset=utf-16><p>caf\u00e9"), "p@1 caf\u00e9\n");
  EXPECT_EQ(outline(read_bytes_as("p.html", "<meta charset=utf-8><p>caf\xe9", {.encoding = "ISO-8859-1"})),
            "p@1 caf\u00e9\n");
  expect_error([&] { read_page("<meta charset=utf-8><p>caf\xe9"); },
               {"p.html: byte 26 is not utf-8", "--encoding"});
  expect_error([&] { read_page("<meta charset=bees><p>x"); },
               {"p.html: encoding: expected one that iconv knows", "\"bees\""});
}

TEST_F(HtmlReader, BrokenPagesAreReadAsBrowsersDo) {
  EXPECT_EQ(html_outline("<p>one<p>two</div></span><b><i>three</b></i>"), "p@1 one\np@1 twothree\n");
  EXPECT_EQ(html_outline("just text"), "p@1 just text\n");
  EXPECT_EQ(html_outline("<p"), "");
}

TEST_F(HtmlReader, DeepPagesKeepTheirText) {
  std::string page;
  for (int i = 0; i < 3000; ++i) page += "<div>";
  page += "<p>deep</p> down";
  const std::string outlined = html_outline(page);
  EXPECT_NE(outlined.find("deep"), std::string::npos) << outlined;
  EXPECT_NE(outlined.find("down"), std::string::npos) << outlined;
}

TEST_F(HtmlReader, HostilePagesAreReadOrRefused) {
  // Gumbo gives its trees back by recursion, for which that would be too deep.
  std::string page;
  for (int i = 0; i < 120000; ++i) page += "<b>";
  EXPECT_EQ(html_outline(page + "text"), "p@1 text\n");
  // Each text behind a <p> opens 2,000 elements again: 2 million of 22 KB.
  page = "<p>";
  for (int i = 0; i < 2000; ++i) page += cat("<b a", i, ">");
  for (int i = 0; i < 1000; ++i) page += "<p>x";
  expect_error([&] { rag::read_html(page); },
               {"48 MB + 64 times its ", std::to_string(page.size()), "nested too often"});
  expect_error([&] { read_bytes_as("made.html", page); }, {"made.html: expected a page of HTML"});
  for (const char* piece :
       {"<table>", "<a>", "<b><p>", "<svg>", "<select>", "<li>", "</p>", "<template>", "&", "<!--", "<x "}) {
    std::string pieces;
    for (int i = 0; i < 3000; ++i) pieces += piece;
    EXPECT_NO_THROW(rag::read_html(pieces)) << piece;
  }
}

}  // namespace
}  // namespace rotor::test
