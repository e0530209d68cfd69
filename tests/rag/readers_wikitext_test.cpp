// Wikipedia's markup as text.
#include <ctime>

#include "runtime/rag/readers/wikitext.h"
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

std::string wikitext_outline(const std::string& text, const std::vector<std::string>& spaces = {}) {
  return outline(rag::read_wikitext(text, spaces));
}

TEST(Wikitext, HeadingsParagraphsAndLists) {
  EXPECT_EQ(
      wikitext_outline(
          "'''Bees''' are ''insects''.\nThey fly.\n\nMore.\n\n== Life ==\n=== Queens===\nOne a hive.\n"
          "* a\n** b\n# c\n: d\n;e\n----\nAfter.\n= Top =\nEnd"),
      "p Bees are insects.~They fly.\np More.\nh2 Life\nh3 Queens\np One a hive.\ni1 a\ni2 b\ni1 c\ni1 d\ni1 "
      "e\n"
      "p After.\nh1 Top\np End\n");
}

TEST(Wikitext, SectionsThatLoseTheirTextGo) {
  EXPECT_EQ(wikitext_outline("Text.\n== Empty ==\n== Life ==\n=== Queens ===\nOne.\n== Gallery "
                             "==\n<gallery>\na.jpg\n</gallery>\n== References ==\n"
                             "{{reflist}}\n=== Notes ===\n{{notelist}}"),
            "p Text.\nh2 Life\nh3 Queens\np One.\n");
}

TEST(Wikitext, LinksBecomeWhatTheyShow) {
  EXPECT_EQ(wikitext_outline("A [[hive]]s, a [[queen bee|queen]], [[wikt:drone|drones]], [[2001: A Space "
                             "Odyssey]], [[:Category:Bees]], "
                             "[https://example.org a site], [https://example.org], [//x.org y] and [sic]."),
            "p A hives, a queen, drones, 2001: A Space Odyssey, Category:Bees, a site, , y and [sic].\n");
  EXPECT_EQ(wikitext_outline("[[File:Bee.jpg|thumb|A [[bee]] on a "
                             "[[flower|rose]].]]\nText.\n[[Category:Insects]]\n[[de:Bienen]]"),
            "p Text.\n");
  EXPECT_EQ(wikitext_outline("[[Datei:Biene.jpg|mini]]Text.[[Kategorie:Bienen]]", {"Datei", "Kategorie"}),
            "p Text.\n");
  EXPECT_EQ(wikitext_outline("[[ an open one\n\n[[closed]]"),
            "p [[ an open one\n"
            "p closed\n");
}

TEST(Wikitext, TemplatesGoButThoseThatAreText) {
  EXPECT_EQ(
      wikitext_outline("{{Infobox|name=Bee|{{nested|{{deep}}}}}}Bees ({{IPA|bi:}}; {{lang|la|apis}}) fly "
                       "{{convert|5|km|mi}}, "
                       "{{cvt|3|to|4|m|ft}} high{{citation needed|date=May 2020}}, {{nowrap|[[a|b]] c}}. "
                       "Empty ( {{x}} )."),
      "p Bees (apis) fly 5 km, 3 to 4 m high, b c. Empty.\n");
  EXPECT_EQ(wikitext_outline("{{ an open one\n\n{{closed}}Text."), "p {{ an open one\np Text.\n");
}

TEST(Wikitext, TablesGo) {
  EXPECT_EQ(wikitext_outline("Before.\n{| class=wikitable\n! bee !! eggs\n|-\n| queen\n{| \n| "
                             "nested\n|}\n|}After.\n:{|\n|x\n|}"),
            "p Before.~After.\n");
  EXPECT_EQ(wikitext_outline("{| without an end\n| cell\nText."), "p Text.\n");
}

TEST(Wikitext, TagsCommentsAndReferencesGo) {
  EXPECT_EQ(wikitext_outline("Bees<ref name=\"a\">Smith {{cite}}</ref> fly<ref name=a /> far<REF>x</REF><!-- "
                             "no\nno -->.<br />Next "
                             "<sub>2</sub><math>x^2</math> 1 < 2 <b>bold</b> a<b <references/> <ref>open"),
            "p Bees fly far.~Next 2 1 < 2 bold a<b open\n");
  EXPECT_EQ(wikitext_outline("__NOTOC__Text __init__.\n<!-- open"), "p Text __init__.\n");
}

TEST(Wikitext, CodeAndNowikiStayAsTheyAre) {
  EXPECT_EQ(wikitext_outline("See:\n<syntaxhighlight lang=\"c\">\nint a[[2]]; // {{x}}\n  "
                             "b;\n</syntaxhighlight>\nand <nowiki>[[no "
                             "link]] {{&amp;}}</nowiki> <code>f()</code>.<pre>&lt;b></pre>"),
            "p See:\nc int a[[2]]; // {{x}}~  b;\np and [[no link]] {{&}} f().\nc <b>\n");
  EXPECT_EQ(wikitext_outline("{{nowrap|a <pre>b</pre> c}}"), "p a\nc b\np c\n");
  EXPECT_EQ(wikitext_outline("{{nowrap|<pre>b</pre>}} c"), "p c\n");
}

TEST(Wikitext, EntitiesAreWhatTheyStandFor) {
  EXPECT_EQ(wikitext_outline("5&nbsp;km &ndash; caf&eacute; &#8364; AT&T &amp;nbsp; a & b"),
            "p 5 km \u2013 caf\u00e9 \u20ac AT&T &nbsp; a & b\n");
}

TEST(Wikitext, ControlCharactersDoNoHarm) {
  EXPECT_EQ(wikitext_outline("a\x01"
                             "5\x01"
                             "b \x02"
                             "7 &#1;c"),
            "p a5b 7 c\n");
  EXPECT_EQ(wikitext_outline("<pre>a\x01"
                             "b\x02</pre><nowiki>\x02&#2;</nowiki>c"),
            "c ab\np c\n");
}

TEST(Wikitext, HostileTextTakesTimeOfItsSize) {
  const std::clock_t begin = std::clock();
  for (const char* piece : {"{{",    "[[",       "}}",   "]]",   "{{a|",      "[[a|", "<ref>", "<!--",
                            "<",     "[http://", "{|\n", "|}\n", "{|\n|}\n",  "''",   "&",     "&amp",
                            "<pre>", "<nowiki>", "__A",  "=",    "{{nowrap|", "((",   "\x01",  "[[File:"}) {
    std::string text;
    while (text.size() < 100000) text += piece;
    rag::read_wikitext(text);
    std::string closed = text;
    for (int i = 0; i < 25000; ++i) closed += "}}]]";
    rag::read_wikitext(closed);
  }
  // 7 MB in all; a pass that took the square of a text would take minutes. In time of the processor.
  EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 60);
}

}  // namespace
}  // namespace rotor::test
