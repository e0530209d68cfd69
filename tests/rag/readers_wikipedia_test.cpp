// Wikipedia's dumps: which pages are taken, bzip2 in one and many streams, broken files, and how far a reader
// reads ahead.
#include <bzlib.h>
#include <malloc.h>

#include <algorithm>

#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

std::string packed(std::string_view bytes) {
  std::string result(bytes.size() + bytes.size() / 100 + 600, '\0');
  auto size = static_cast<unsigned>(result.size());
  std::string input(bytes);
  if (BZ2_bzBuffToBuffCompress(result.data(), &size, input.data(), static_cast<unsigned>(input.size()), 9, 0,
                               0) != BZ_OK)
    fail("bzip2 failed");
  result.resize(size);
  return result;
}

constexpr const char* kBegin =
    "<mediawiki "
    "xml:lang=\"de\">\n<siteinfo>\n<base>https://de.wikipedia.org/wiki/Wikipedia:Hauptseite</base>\n"
    "<namespaces><namespace key=\"0\" /><namespace key=\"6\">Datei</namespace>\n"
    "<namespace key=\"14\">Kategorie</namespace></namespaces>\n</siteinfo>\n";
constexpr const char* kEnd = "</mediawiki>\n";

std::string page(const std::string& title, int id, const std::string& text,
                 const std::string& more = "<ns>0</ns>") {
  return cat("<page>\n<title>", title, "</title>\n", more, "\n<id>", id, "</id>\n<revision><id>9", id,
             "</id><text xml:space=\"preserve\">", text, "</text></revision>\n</page>\n");
}

class Wikipedia : public ReaderTest {};

TEST_F(Wikipedia, ArticlesAlone) {
  const std::string dump =
      kBegin +
      page("Honig &amp; Wachs", 1,
           "'''Honig''' &lt;ref&gt;x&lt;/ref&gt;[[Datei:a.jpg]].\n[[Kategorie:Bienen]]") +
      page("Biene", 2, "#WEITERLEITUNG [[Honig]]", "<ns>0</ns><redirect title=\"Honig\" />") +
      page("Diskussion:Honig", 3, "Nein", "<ns>1</ns>") + page("Alt", 4, "#REDIRECT [[Honig]]") +
      page("AC/DC caf\u00e9?", 5, "Ohne Namensraum.", "") + kEnd;
  const std::string path = write("x-pages-articles.xml", dump);
  const auto documents = read_all(path);
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(documents[0].id, path + "#1") << "the page's id, not the revision's";
  EXPECT_EQ(documents[0].title, "Honig & Wachs");
  EXPECT_EQ(documents[0].source, "https://de.wikipedia.org/wiki/Honig_%26_Wachs");
  EXPECT_EQ(outline(documents[0]), "p Honig .\n");
  EXPECT_EQ(documents[1].source, "https://de.wikipedia.org/wiki/AC/DC_caf%C3%A9%3F");
  EXPECT_EQ(outline(documents[1]), "p Ohne Namensraum.\n");
  EXPECT_EQ(read_all(write("x.xml.bz2", packed(dump))).size(), 2U);
}

TEST_F(Wikipedia, OfAHistoryTheLastRevision) {
  const std::string dump =
      cat("<mediawiki><page><title>A</title><id>1</id><revision><text>Old.</text></revision>",
          "<revision><text>New.</text></revision></page></mediawiki>");
  EXPECT_EQ(outline(read_bytes_as("h.xml", dump, {.kind = rag::FileKind::wikipedia})), "p New.\n");
}

TEST_F(Wikipedia, ManyStreamsOneAfterAnother) {
  // Dumps are cut between pages; here at every 7th byte, too.
  const std::string dump = kBegin + page("A", 1, "One.") + page("B", 2, "Two.") + kEnd;
  std::string pages = packed(kBegin) + packed(page("A", 1, "One.")) + packed("") +
                      packed(page("B", 2, "Two.")) + packed(kEnd);
  EXPECT_EQ(read_all(write("a.xml.bz2", pages)).size(), 2U);
  std::string pieces;
  for (size_t i = 0; i < dump.size(); i += 7) pieces += packed(dump.substr(i, 7));
  const auto documents = read_all(write("b.xml.bz2", pieces));
  ASSERT_EQ(documents.size(), 2U);
  EXPECT_EQ(outline(documents[1]), "p Two.\n");
}

TEST_F(Wikipedia, TruncatedAndDamagedFilesAreRefused) {
  std::string dump = kBegin;
  for (int i = 0; i < 300; ++i) dump += page(cat("P", i), i + 1, cat("Text number ", i * 7919 % 1000, "."));
  dump += kEnd;
  const std::string bytes = packed(dump);
  for (const size_t size : {bytes.size() - 1, bytes.size() / 2, size_t{5}}) {
    expect_error([&] { read_all(write("cut.xml.bz2", bytes.substr(0, size))); },
                 {"cut.xml.bz2: expected more after byte ", std::to_string(size), "download complete"});
  }
  int refused = 0;
  for (size_t i = 3; i < bytes.size(); i += bytes.size() / 16) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    try {
      read_all(write("bad.xml.bz2", damaged));
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("bad.xml.bz2"), std::string::npos) << e.what();
      ++refused;
    }
  }
  EXPECT_GE(refused, 16);
  expect_error([&] { read_all(write("more.xml.bz2", bytes + "garbage")); },
               {"more.xml.bz2: before byte ", "expected bzip2's data"});
  // At the end of a stream nothing is missing for bzip2, but for XML.
  expect_error([&] { read_all(write("half.xml.bz2", packed(kBegin) + packed(page("A", 1, "One.")))); },
               {"half.xml.bz2, line 13: ", "no element found"});
}

TEST_F(Wikipedia, BrokenXmlHasItsLine) {
  const auto refused = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    const std::string path = write("bad.xml", bytes);
    expect_error([&] { read_all(path, {.kind = rag::FileKind::wikipedia}); }, parts);
  };
  refused(kBegin + page("A", 1, "a < b") + kEnd,
          {"bad.xml, line 11: expected the XML of a Wikipedia dump", "not well-formed"});
  refused(kBegin + page("A", 1, "x").substr(0, 28), {"bad.xml, line 9: ", "no element found"});
  refused("not XML", {"bad.xml, line 1: "});
  refused("<html></html>", {"bad.xml: expected pages of Wikipedia (<page>), found none"});
  // A billion laughs: expat refuses to make more of a file than 100 times its size.
  std::string laughs = "<!DOCTYPE x [<!ENTITY a0 \"ha\">";
  for (int i = 1; i < 30; ++i) {
    laughs += cat("<!ENTITY a", i, " \"");
    for (int j = 0; j < 10; ++j) laughs += cat("&a", i - 1, ";");
    laughs += "\">";
  }
  refused(laughs + "]><mediawiki><page><text>&a29;</text></page></mediawiki>",
          {"bad.xml, line 1: ", "amplification"});
}

TEST_F(Wikipedia, TheCallerEndsItAndItsErrorsPass) {
  const std::string path =
      write("x.xml.bz2", packed(kBegin + page("A", 1, "One.") + page("B", 2, "Two.") + "<broken"));
  int count = 0;
  rag::read_documents(path, {}, [&](const rag::Document&) { return ++count < 2; });
  EXPECT_EQ(count, 2);
  const auto refuse = [](const rag::Document&) -> bool { throw std::range_error("full"); };
  EXPECT_THROW(rag::read_documents(path, {}, refuse), std::range_error);
}

TEST_F(Wikipedia, PagesThatAreTooLongAreRefused) {
  expect_error(
      [&] { read_all(write("x.xml.bz2", packed(kBegin + page("Long", 1, std::string(70 << 20, 'x'))))); },
      {"x.xml.bz2: page \"Long\": expected at most 67108864 bytes"});
}

TEST_F(Wikipedia, ADumpIsReadAsItComes) {
  // 3,000 pages of 2.6 KB, 8 MB: each is handed over in the piece of 64 KB in which it ends, and none is
  // kept.
  std::string dump = kBegin;
  std::vector<size_t> ends;
  for (int i = 0; i < 3000; ++i) {
    std::string text;
    for (int j = 0; j < 100; ++j) text += cat("Sentence ", j, " of page ", i, ".\n");
    dump += page(cat("Page ", i), i + 1, text);
    ends.push_back(dump.size() - 1);  // before the line end
  }
  dump += kEnd;
  const std::string path = write("x-pages-articles.xml", dump);
  size_t count = 0;
  int64_t done = 0;
  size_t heap_early = 0;
  size_t heap_late = 0;
  rag::ReadOptions options;
  options.progress = [&](int64_t now, int64_t all) {
    EXPECT_EQ(all, static_cast<int64_t>(dump.size()));
    EXPECT_LE(now - done, 65536);
    done = now;
  };
  rag::read_documents(path, options, [&](const rag::Document& document) {
    const auto end = static_cast<int64_t>(ends.at(count));
    EXPECT_LE(end, done + 65536) << document.title;
    EXPECT_GT(end, done - 65536) << document.title;
    ++count;
    // Under a sanitizer these are 0.
    if (count == 100) heap_early = mallinfo2().uordblks;
    if (count == 2900) heap_late = mallinfo2().uordblks;
    return true;
  });
  EXPECT_EQ(count, 3000U);
  EXPECT_EQ(done, static_cast<int64_t>(dump.size()));
  EXPECT_LT(heap_late, heap_early + (1 << 20));
  // Packed, the first page is there long before the end of the file.
  std::string streams;
  for (size_t i = 0; i < dump.size(); i += 100000) streams += packed(dump.substr(i, 100000));
  ASSERT_GT(streams.size(), 200000U);
  int64_t before_first = 0;
  options.progress = [&](int64_t now, int64_t) { before_first = now; };
  rag::read_documents(write("x.xml.bz2", streams), options, [](const rag::Document&) { return false; });
  EXPECT_LT(before_first, 65536);
}

}  // namespace
}  // namespace rotor::test
