// Cutting, listing and reading text.
#include "train/data/text_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/golden.h"
#include "tests/support/temp_dir.h"
#include "tests/train/text_corpus.h"
#include "train/data/text_cut.h"

namespace rotor::train {
namespace {

using test::ByteTokenizer;
using test::expect_error;
using test::TempDir;
using test::write_bytes;
using text::TokenId;

/// The tokens of `text`, piece by piece; `places` gets the cuts.
std::vector<TokenId> encode_in_pieces(std::string_view text, size_t piece_bytes,
                                      const text::Tokenizer& tokenizer,
                                      std::vector<size_t>* places = nullptr) {
  std::vector<TokenId> tokens;
  for (size_t begin = 0; begin < text.size();) {
    const TextCut cut = find_cut(text, begin, piece_bytes, tokenizer);
    EXPECT_GT(cut.position, begin);
    EXPECT_LE(cut.position, begin + piece_bytes);
    const auto piece =
        tokenizer.encode(text.substr(begin, cut.position - begin), text::SpecialTokens::as_text);
    tokens.insert(tokens.end(), piece.begin(), piece.end());
    if (places != nullptr && cut.position < text.size()) places->push_back(cut.position);
    begin = cut.position + cut.skipped;
  }
  return tokens;
}

TEST(TextCut, PiecesGiveTheTokensOfTheWhole) {
  const std::string text = test::many_words(3000);
  for (const char* prefix : {"", " "}) {
    const ByteTokenizer tokenizer(prefix);
    const auto whole = tokenizer.encode(text, text::SpecialTokens::as_text);
    for (const size_t piece_bytes : {40, 97, 1000, 100'000}) {
      std::vector<size_t> places;
      EXPECT_EQ(encode_in_pieces(text, piece_bytes, tokenizer, &places), whole)
          << "prefix \"" << prefix << "\", pieces of " << piece_bytes;
      EXPECT_EQ(places.empty(), text.size() <= piece_bytes);
      for (const size_t place : places) EXPECT_TRUE(text[place] == ' ' || text[place - 1] == '\n');
    }
  }
}

TEST(TextCut, CutsBetweenCharactersWhereThereAreNoWords) {
  const ByteTokenizer tokenizer;
  std::string text;
  for (int i = 0; i < 100; ++i) text += "\xE2\x82\xAC";
  std::vector<size_t> places;
  encode_in_pieces(text, 16, tokenizer, &places);
  EXPECT_EQ(places.size(), 19U);
  for (const size_t place : places) EXPECT_EQ(place % 3, 0U);
  // Bytes that are no UTF-8 are cut as well; who reads them complains.
  EXPECT_EQ(find_cut(std::string(100, '\x80'), 0, 16, tokenizer).position, 16U);
}

TEST(TextCut, TakesTheFarthestPlaceIfNoneKeepsTheTokens) {
  const ByteTokenizer tokenizer("^");  // in front of every text, and nothing can stand for it
  const std::string text = "one two three four five six";
  const TextCut cut = find_cut(text, 0, 16, tokenizer);
  EXPECT_EQ(cut.position, 13U);  // "one two three"
  EXPECT_EQ(cut.skipped, 0U);
}

TEST(TextCut, NeverLeavesAnEmptyPiece) {
  const ByteTokenizer tokenizer(" ");
  for (size_t length = 17; length < 40; ++length) {
    const std::string text = std::string(length - 1, 'x') + " ";
    encode_in_pieces(text, length - 1, tokenizer);
    const TextCut cut = find_cut(text, 0, length - 1, tokenizer);
    EXPECT_LT(cut.position + cut.skipped, text.size());
  }
}

void expect_pieces_equal_whole(const text::Tokenizer& tokenizer, const std::string& text) {
  const auto whole = tokenizer.encode(text, text::SpecialTokens::as_text);
  for (const size_t piece_bytes : {1000, 65536}) {
    EXPECT_TRUE(encode_in_pieces(text, piece_bytes, tokenizer) == whole) << "pieces of " << piece_bytes;
  }
}

TEST(TextCutSharedData, Llama3TokensOfThePiecesAreThoseOfTheWhole) {
  const std::string model = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  const std::string prose = test::shared_path("data/prose/classic-prose.txt");
  if (model.empty() || prose.empty()) GTEST_SKIP() << "no shared data here: no Llama 3 tokenizer, no prose";
  const auto tokenizer = text::load_tokenizer(model);
  expect_pieces_equal_whole(*tokenizer, test::read_bytes(prose).substr(0, 1'000'000));
}

TEST(TextCutSharedData, Llama2TokensOfThePiecesAreThoseOfTheWhole) {
  const std::string model = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  const std::string prose = test::shared_path("data/prose/classic-prose.txt");
  if (model.empty() || prose.empty()) GTEST_SKIP() << "no shared data here: no Llama 2 tokenizer, no prose";
  const auto tokenizer = text::load_tokenizer(model);
  expect_pieces_equal_whole(*tokenizer, test::read_bytes(prose).substr(0, 1'000'000));
}

TEST(ListTextFiles, FindsTheFilesOfADirectoryInOrder) {
  const TempDir dir;
  for (const char* folder : {"c", "c/b", "c/d.txt"}) std::filesystem::create_directory(dir.file(folder));
  for (const char* name :
       {"c/b.txt", "c/a.md", "c/b/z.txt", "c/x.jsonl", "c/B.txt", "c/none", "c/d.txt/e.txt"})
    write_bytes(dir.file(name), "text");
  std::vector<std::string> names;
  for (const TextFile& file : list_text_files(dir.file("c"), TextFormat::text)) {
    names.push_back(file.name);
    EXPECT_EQ(file.path, dir.file("c") + "/" + file.name);
    EXPECT_EQ(file.file_bytes, 4);
    EXPECT_GT(file.mtime_ns, 0);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"B.txt", "a.md", "b.txt", "b/z.txt", "d.txt/e.txt"}));
  EXPECT_EQ(list_text_files(dir.file("c"), TextFormat::jsonl).at(0).name, "x.jsonl");
  EXPECT_EQ(list_text_files(dir.file("c/none"), TextFormat::text).at(0).name, "none");
}

TEST(ListTextFiles, RefusesWhatIsNoCorpus) {
  const TempDir dir;
  expect_error([&] { list_text_files(dir.file("none"), TextFormat::text); }, {"none", "No such file"});
  expect_error([&] { list_text_files(dir.path(), TextFormat::text); }, {dir.path(), "*.txt or *.md", "none"});
  expect_error([&] { list_text_files(dir.path(), TextFormat::jsonl); }, {"*.jsonl", "found none"});
  write_bytes(dir.file("empty.txt"), "");
  expect_error([&] { list_text_files(dir.path(), TextFormat::text); }, {dir.path(), "corpus is empty"});
  expect_error([&] { list_text_files(dir.file("empty.txt"), TextFormat::text); }, {"corpus is empty"});
  ASSERT_EQ(mkfifo(dir.file("pipe.txt").c_str(), 0600), 0);
  expect_error([&] { list_text_files(dir.path(), TextFormat::text); }, {"pipe.txt", "regular file"});
  std::filesystem::remove(dir.file("pipe.txt"));
  std::filesystem::create_symlink("nowhere", dir.file("broken.txt"));
  expect_error([&] { list_text_files(dir.path(), TextFormat::text); }, {"broken.txt", "No such file"});
  expect_error([] { text_format("csv"); }, {"data.type", "csv"});
}

/// Reads `text` as a corpus of one file.
std::vector<DocumentPart> read_corpus(const TempDir& dir, const std::string& text, TextFormat format,
                                      size_t piece_bytes, double validation_fraction = 0.0) {
  const ByteTokenizer tokenizer;
  write_bytes(dir.file("f"), text);
  TextSource source(list_text_files(dir.file("f"), format),
                    {format, "text", piece_bytes, validation_fraction}, tokenizer);
  std::vector<DocumentPart> parts;
  while (const auto piece = source.next()) {
    for (DocumentPart& part : source.encode(*piece)) parts.push_back(std::move(part));
  }
  return parts;
}

TEST(TextSource, LinesAreDocumentsHoweverTheyFallIntoPieces) {
  const TempDir dir;
  const std::string lines =
      "{\"text\": \"one\"}\n\n  \r\n{\"id\": 2, \"text\": \"tw\\u006f\\n\\\"\"}\r\n{\"text\": "
      "\"\"}\n{\"text\":\"3\"}";
  for (const size_t piece_bytes : {16, 20, 30, 1000}) {
    std::string found;
    for (const DocumentPart& part : read_corpus(dir, lines, TextFormat::jsonl, piece_bytes)) {
      EXPECT_TRUE(part.begins_document && part.ends_document);
      EXPECT_EQ(part.text_bytes, static_cast<int64_t>(part.tokens.size()));
      found += "[" + ByteTokenizer().decode(part.tokens) + "]";
    }
    EXPECT_EQ(found, "[one][two\n\"][3]") << piece_bytes;
  }
}

TEST(TextSource, ADocumentLongerThanAPieceComesInParts) {
  const TempDir dir;
  const std::string text = test::many_words(500);
  std::string escaped;
  for (const char c : text) escaped += c == '\n' ? std::string("\\n") : std::string(1, c);
  for (const TextFormat format : {TextFormat::text, TextFormat::jsonl}) {
    const std::string file = format == TextFormat::text ? text : "{\"text\": \"" + escaped + "\"}\n";
    for (const double fraction : {0.0, 0.25}) {
      const auto parts = read_corpus(dir, file, format, 100, fraction);
      EXPECT_GT(parts.size(), 20U);
      std::vector<TokenId> tokens;
      int begins = 0;
      int ends = 0;
      int64_t train_bytes = 0;
      int64_t bytes = 0;
      for (const DocumentPart& part : parts) {
        tokens.insert(tokens.end(), part.tokens.begin(), part.tokens.end());
        begins += part.begins_document ? 1 : 0;
        ends += part.ends_document ? 1 : 0;
        bytes += part.text_bytes;
        if (!part.is_validation) train_bytes += part.text_bytes;
      }
      EXPECT_EQ(ByteTokenizer().decode(tokens), text);
      EXPECT_EQ(begins, fraction > 0 ? 2 : 1);
      EXPECT_EQ(ends, begins);
      EXPECT_EQ(bytes, static_cast<int64_t>(text.size()));
      EXPECT_NEAR(static_cast<double>(train_bytes), (1 - fraction) * static_cast<double>(bytes), 2);
    }
  }
}

TEST(TextSource, InvalidUtf8IsNamedByFileAndByte) {
  const TempDir dir;
  const std::string words = test::many_words(100);
  for (const char* bad : {"\xFF", "\xC3(", "\xED\xA0\x80", "\xC0\x80"}) {
    for (const size_t piece_bytes : {16, 64, 5000}) {
      expect_error([&] { read_corpus(dir, words + bad + words, TextFormat::text, piece_bytes); },
                   {dir.file("f"), cat("byte ", words.size(), " "), "UTF-8"});
    }
  }
  expect_error([&] { read_corpus(dir, words + "\xE2\x82", TextFormat::text, 50); },
               {cat("byte ", words.size(), " "), "0xE2"});
  const std::string line = "{\"text\": \"good\"}\n";
  expect_error([&] { read_corpus(dir, line + line + "{\"text\": \"\xFF\"}\n", TextFormat::jsonl, 1000); },
               {dir.file("f:3"), cat("byte ", 2 * line.size() + 10, " "), "0xFF"});
}

TEST(TextSource, BadLinesAreNamedByFileAndLine) {
  const TempDir dir;
  const std::string good = "{\"text\": \"good\"}\n";
  const auto expect_bad = [&](const std::string& line, std::vector<std::string> parts) {
    parts.push_back(dir.file("f:4"));
    for (const size_t piece_bytes : {16, 1000}) {
      expect_error(
          [&] { read_corpus(dir, good + "\n" + good + line + "\n" + good, TextFormat::jsonl, piece_bytes); },
          parts);
    }
  };
  expect_bad("{\"text\": \"cut", {"bad JSON"});
  expect_bad("{\"text\": \"a\"} {}", {"bad JSON"});
  expect_bad("{\"text\": \"a\", \"text\": \"b\"}", {"duplicate key"});
  expect_bad("{\"text\": \"\\ud800\"}", {"bad JSON"});
  expect_bad("[\"text\"]", {"expected a JSON object", "[\"text\"]"});
  expect_bad("{\"txt\": \"a\"}", {"expected a field \"text\"", "{\"txt\":\"a\"}"});
  expect_bad("{\"text\": 7}", {"field \"text\"", "expected a string", "7"});
  expect_bad("{\"text\": null}", {"expected a string", "null"});
}

TEST(TextSource, AFileThatChangedSinceItWasListedIsAnError) {
  const TempDir dir;
  const ByteTokenizer tokenizer;
  write_bytes(dir.file("f"), "some text");
  TextSource source(list_text_files(dir.file("f"), TextFormat::text), {}, tokenizer);
  write_bytes(dir.file("f"), "some more text");
  expect_error([&] { source.next(); }, {dir.file("f"), "changed", "expected 9 bytes, found 14"});
}

}  // namespace
}  // namespace rotor::train
