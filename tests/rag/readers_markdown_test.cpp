// Markdown: structure, lines, entities, front matter, HTML within it, and what is hostile.
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

std::string markdown_outline(const std::string& markdown) {
  return outline(rag::read_markdown(markdown));
}

TEST(MarkdownReader, HeadingsParagraphsAndCodeHaveTheirLine) {
  const rag::Document document = rag::read_markdown(
      "# Bees\n\nThey *fly*\nand `hum`, see [here](https://example.org).\n\nQueens\n------\n\n```cpp\nint "
      "a;\n\n"
      "  int b;\n```\n\n    indented\n\n> quoted\n\n![a hive](hive.png)\n");
  EXPECT_EQ(document.title, "Bees");
  EXPECT_EQ(outline(document),
            "h1@1 Bees\np@3 They fly~and hum, see here.\nh2@6 Queens\nc@10 int a;~~  int b;\nc@15 indented\n"
            "p@17 quoted\np@19 a hive\n");
}

TEST(MarkdownReader, ListsKeepTheirNesting) {
  EXPECT_EQ(markdown_outline("- one\n  - two\n    1. three\n- four\n"),
            "i1@1 one\ni2@2 two\ni3@3 three\ni1@4 four\n");
  EXPECT_EQ(markdown_outline("- one\n\n  more of one\n\n- two\n"), "i1@1 one\ni1@3 more of one\ni1@5 two\n");
  EXPECT_EQ(markdown_outline("- one\n  > said\n- two\n  ```\n  x\n  ```\n  after\n"),
            "i1@1 one\ni1@2 said\ni1@3 two\nc@5 x\ni1@7 after\n");
  EXPECT_EQ(markdown_outline("- [ ] feed\n- [x] watch\n\n\nEnd"), "i1@1 [ ] feed\ni1@2 [x] watch\np@5 End\n");
  EXPECT_EQ(markdown_outline("- [X] watch\n\n  them\n"), "i1@1 [x] watch\ni1@3 them\n");
}

TEST(MarkdownReader, TablesHaveALineARow) {
  EXPECT_EQ(markdown_outline("| bee | eggs |\n|---|---:|\n| queen | 2000 |\n| | 0 |\n| drone |\n"),
            "t@1 bee | eggs~queen | 2000~| 0~drone\n");
}

TEST(MarkdownReader, EntitiesAreWhatTheyStandFor) {
  EXPECT_EQ(
      markdown_outline(
          "&amp; &lt;b&gt; caf&eacute; &#8364; &#x1F41D; a&nbsp;b so&shy;ft &NotEqualTilde; &bogus; AT&T"),
      "p@1 & <b> caf\u00e9 \u20ac \U0001F41D a b soft \u2242\u0338 &bogus; AT&T\n");
  EXPECT_EQ(markdown_outline("a&#0;b &#xD800; &#32;c"), "p@1 a\uFFFDb \uFFFD  c\n");
  EXPECT_EQ(markdown_outline("`&amp;` and\n\n    &amp;"), "p@1 &amp; and\nc@3 &amp;\n") << "code is as it is";
}

TEST(MarkdownReader, HtmlWithinIsReadAsText) {
  EXPECT_EQ(markdown_outline(
                "One<br>two <b>bold</b> <!-- no -->end.\n\n<div>\n<h2>Inner</h2>\n<p>Text\n</div>\n\nLast."),
            "p@1 One~two bold end.\nh2@4 Inner\np@5 Text\np@8 Last.\n");
  EXPECT_EQ(markdown_outline("<!-- a comment -->\n\n<script>\nalert(1)\n</script>\n\nText."), "p@7 Text.\n");
  EXPECT_EQ(markdown_outline("<details><summary>More</summary>\n\nInside.\n\n</details>"),
            "p@1 More\np@3 Inside.\n");
}

TEST(MarkdownReader, FrontMatterBecomesMetadata) {
  const rag::Document document = rag::read_markdown(
      "---\ntitle: \"Bees: \\u00e9lev\\u00e9es\"\nauthor: 'O''Hara'\nyear: 2024   # not 2023\ndraft: true\n"
      "date: 2024-05-01\nversion: 1.5\nzip: 00123\nempty:\ntags: [bees, \"a, b\", 7]\n# a comment\nkinds:\n  "
      "- honey\n"
      "  - bumble # big\nsummary: >\n  In one\n  line.\n\npoem: |\n  Two\n  lines\nnested:\n  inner: 1\n  "
      "deeper:\n"
      "    - 2\nlast: no#comment\n---\n\n# Chapter\n");
  EXPECT_EQ(document.title, "Bees: \u00e9lev\u00e9es");
  EXPECT_EQ(
      document.metadata,
      Json::parse(R"({"author": "O'Hara", "year": 2024, "draft": true, "date": "2024-05-01", "version": 1.5,
                            "zip": "00123", "tags": ["bees", "a, b", 7], "kinds": ["honey", "bumble"],
                            "summary": "In one line.", "poem": "Two\nlines", "last": "no#comment"})"));
  EXPECT_EQ(outline(document), "h1@29 Chapter\n");
  EXPECT_EQ(rag::read_markdown("---\r\nlang: de\r\n---\r\n# Bienen\r\n").metadata,
            Json::parse(R"({"lang": "de"})"));
}

TEST(MarkdownReader, LinesAcrossThePageAreNoFrontMatter) {
  EXPECT_EQ(markdown_outline("---\n\nA text, and no field.\n\n---\n\nMore."),
            "p@3 A text, and no field.\np@7 More.\n");
  EXPECT_EQ(markdown_outline("---\ntitle: without end\n"), "p@2 title: without end\n")
      << "without a line that ends it";
  EXPECT_EQ(rag::read_markdown("text\n---\na: 1\n---\n").metadata, Json::object());
}

TEST(MarkdownReader, TablesThatAreMadeOfEmptyCellsAreRefused) {
  // GitHub's tables fill rows up: 4,000 columns times 20,000 rows from 60 KB.
  std::string table;
  for (int i = 0; i < 4000; ++i) table += "|x";
  table += "|\n";
  for (int i = 0; i < 4000; ++i) table += "|---";
  table += "|\n";
  for (int i = 0; i < 20000; ++i) table += "y\n";
  expect_error([&] { rag::read_markdown(table); }, {"cells for each byte of Markdown"});
  std::string wide = "|a|b|c|\n|---|---|---|\n";
  for (int i = 0; i < 5000; ++i) wide += "|y|\n";
  const rag::Document document = rag::read_markdown(wide);
  ASSERT_EQ(document.blocks.size(), 1U);
  EXPECT_TRUE(document.blocks[0].text.starts_with("a | b | c\ny\ny\n"))
      << document.blocks[0].text.substr(0, 40);
}

TEST(MarkdownReader, WhateverIsNestedComesToAnEnd) {
  for (const char* piece :
       {"[", "![", "*a ", "> ", "- ", "`", "<div>", "&#", "|", "[a](", "\\", "_*", "<!--"}) {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += piece;
    EXPECT_NO_THROW(rag::read_markdown(text)) << piece;
  }
}

}  // namespace
}  // namespace rotor::test
