// JSON lines: fields, what becomes metadata, and lines that are broken.
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

using namespace std::string_literals;

class JsonLines : public ReaderTest {
 protected:
  std::vector<rag::Document> rows(std::string_view bytes, const std::string& encoding = "") const {
    return read_all(write("rows.jsonl", bytes), {.encoding = encoding});
  }
  void expect_refused(std::string_view bytes, std::vector<std::string> parts,
                      const std::string& encoding = "") const {
    parts.insert(parts.begin(), dir_.file("rows.jsonl"));
    expect_error([&] { rows(bytes, encoding); }, parts);
  }
};

TEST_F(JsonLines, FieldsBecomeADocument) {
  const auto documents =
      rows(R"({"id": "b1", "title": "Bees", "text": "They fly.\n\nFar.", "year": 2024, )"
           R"("source": "https://bees.example", "metadata": {"lang": "en", "year": 1999}})");
  ASSERT_EQ(documents.size(), 1U);
  const rag::Document& bees = documents[0];
  EXPECT_EQ(bees.id, dir_.file("rows.jsonl") + "#b1");
  EXPECT_EQ(bees.title, "Bees");
  EXPECT_EQ(bees.source, "https://bees.example");
  EXPECT_EQ(bees.metadata, Json::parse(R"({"lang": "en", "year": 2024})")) << "a field of the row wins";
  EXPECT_EQ(outline(bees), "p@1 They fly.\np@1 Far.\n");
}

TEST_F(JsonLines, OtherNamesAndWhatIsMissing) {
  const auto documents = rows(
      "{\"_id\": 7, \"contents\": \"One.\", \"url\": \"u\"}\r\n\n  \n{\"body\": \"Two.\", \"title\": 2001}\n"
      "{\"doc_id\": \"x\", \"content\": \"Three.\", \"title\": null, \"source\": {\"a\": [1]}}");
  ASSERT_EQ(documents.size(), 3U);
  const std::string path = dir_.file("rows.jsonl");
  EXPECT_EQ(documents[0].id, path + "#7");
  EXPECT_EQ(documents[0].source, "u");
  EXPECT_EQ(documents[1].id, path + "#4") << "the line";
  EXPECT_EQ(documents[1].title, "2001");
  EXPECT_EQ(documents[1].source, path);
  EXPECT_EQ(outline(documents[1]), "p@4 Two.\n");
  EXPECT_EQ(documents[2].id, path + "#x");
  EXPECT_EQ(documents[2].title, "");
  EXPECT_EQ(documents[2].metadata.at("source"), "{\"a\":[1]}") << "no text, and kept";
}

TEST_F(JsonLines, MetadataAreFlat) {
  const auto documents =
      rows(R"({"text": "One.", "tags": ["a", 1, {"b": 2}, null], "deep": {"x": 1}, "draft": false})");
  EXPECT_EQ(documents.at(0).metadata,
            Json::parse(R"({"tags": ["a", 1, "{\"b\":2}", "null"], "deep": "{\"x\":1}", "draft": false})"));
}

TEST_F(JsonLines, BrokenLinesAreNamed) {
  const std::string good = "{\"text\": \"One.\"}\n";
  expect_refused(good + "{\"text\": \"Two.\"\n" + good, {"line 2: bad JSON"});
  expect_refused(good + "\n[1]\n", {"line 3: expected an object, found [1]"});
  expect_refused("{\"title\": \"a\"}", {"line 1: text: expected a string, found none"});
  expect_refused("{\"text\": 5}", {"line 1: text: expected a string, found 5"});
  expect_refused("{\"content\": [\"a\"]}", {"line 1: content: expected a string"});
  expect_refused("{\"text\": \"a\", \"id\": 1.5}",
                 {"line 1: id: expected a string or an integer, found 1.5"});
  expect_refused("{\"text\": \"a\", \"id\": null}",
                 {"line 1: id: expected a string or an integer, found null"});
  expect_refused("{\"text\": \"a\", \"metadata\": 3}", {"line 1: metadata: expected an object, found 3"});
  expect_refused("{\"text\": \"a\", \"text\": \"b\"}", {"line 1: bad JSON: duplicate key \"text\""});
  expect_refused(R"({"text": "a\u0000b"})", {"line 1: ", "\\u0000"});
  expect_refused(good + "{\"text\": \"caf\xe9\"}\n", {"line 2: byte 13 is not UTF-8; --encoding"});
  expect_refused(std::string(5000, '['), {"line 1: bad JSON", "nested deeper than 64"});
}

TEST_F(JsonLines, RowsBeforeABrokenOneAreTaken) {
  const std::string path = write("rows.jsonl", "{\"text\": \"One.\"}\n{\"text\": \"Two.\"}\nno\n");
  int count = 0;
  EXPECT_THROW(rag::read_documents(path, {}, [&](const rag::Document&) { return ++count > 0; }), Error);
  EXPECT_EQ(count, 2);
  count = 0;
  rag::read_documents(path, {}, [&](const rag::Document&) { return ++count < 2; });
  EXPECT_EQ(count, 2) << "false ends the reading, before the broken line";
}

TEST_F(JsonLines, Encodings) {
  EXPECT_EQ(outline(rows("\xEF\xBB\xBF{\"text\": \"caf\u00e9\"}").at(0)), "p@1 caf\u00e9\n");
  EXPECT_EQ(outline(rows("{\"text\": \"caf\xe9\"}", "ISO-8859-1").at(0)), "p@1 caf\u00e9\n");
  expect_refused("\xFF\xFE{\0}\0"s, {"expected UTF-8, found UTF-16", "iconv -f UTF-16"});
  expect_refused("{}", {"expected an encoding in which ASCII is ASCII, found \"UTF-16LE\""}, "UTF-16LE");
  expect_refused("{}", {"encoding: expected one that iconv knows", "KLINGON"}, "KLINGON");
}

TEST_F(JsonLines, LinesAcrossPiecesOfTheFileAndTooLongOnes) {
  std::string bytes;
  std::vector<std::string> texts;
  for (size_t size : {65510U, 65511U, 65512U, 65536U, 200000U, 1U}) {
    texts.emplace_back(size, 'x');
    bytes += "{\"text\": \"" + texts.back() + "\"}\n";
  }
  const auto documents = rows(bytes);
  ASSERT_EQ(documents.size(), texts.size());
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(documents[i].blocks.at(0).text, texts[i]);
  // A whole array on one line, longer than a row may be.
  const std::string path = write("array.jsonl", "[");
  std::filesystem::resize_file(path, 100 << 20);
  expect_error([&] { read_all(path); },
               {"array.jsonl, line 1: expected at most 67108864 bytes", "jq -c '.[]'"});
}

}  // namespace
}  // namespace rotor::test
