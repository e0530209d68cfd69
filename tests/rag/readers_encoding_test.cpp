// Plain text in many encodings. Bytes of other encodings than UTF-8 were made with Python 3.11's codecs.
#include "tests/rag/readers_fixture.h"

namespace rotor::test {
namespace {

using namespace std::string_literals;

class ReaderEncoding : public ReaderTest {
 protected:
  std::string text_of(std::string_view bytes, const std::string& encoding = "") const {
    return outline(read_bytes_as("t.txt", bytes, {.encoding = encoding}));
  }
};

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST_F(ReaderEncoding, ParagraphsHaveTheLineThatTheyBeginAt) {
  EXPECT_EQ(text_of("One.\nMore.\n\n\nTwo.\n"), "p@1 One.~More.\np@5 Two.\n");
  EXPECT_EQ(text_of("One.\r\nMore. \r\n\r\n  Two."), "p@1 One.~More.\np@4   Two.\n");
  EXPECT_EQ(text_of("One.\rMore.\r\rTwo."), "p@1 One.~More.\np@4 Two.\n");
  EXPECT_EQ(text_of("Page.\n\f\nNext."), "p@1 Page.\np@3 Next.\n") << "a form feed is no line of its own";
}

TEST_F(ReaderEncoding, Utf8WithAndWithoutMark) {
  EXPECT_EQ(text_of("Caf\u00e9 \u8702 \U0001F41D"), "p@1 Caf\u00e9 \u8702 \U0001F41D\n");
  EXPECT_EQ(text_of("\xEF\xBB\xBF"
                    "Bee"),
            "p@1 Bee\n");
}

TEST_F(ReaderEncoding, Utf16AndUtf32) {
  EXPECT_EQ(text_of("\xFF\xFE"
                    "B\0e\0e\0\x1D\x20"s),
            "p@1 Bee\u201d\n");
  EXPECT_EQ(text_of("\xFE\xFF\0B\0e\0e\x20\x1D"s), "p@1 Bee\u201d\n");
  EXPECT_EQ(text_of("\xFF\xFE\0\0B\0\0\0e\0\0\0"s), "p@1 Be\n");
  // Without a mark: "Bees fly.", and Cyrillic, of which the blank alone is ASCII.
  EXPECT_EQ(text_of("B\0e\0e\0s\0 \0f\0l\0y\0.\0"s), "p@1 Bees fly.\n");
  EXPECT_EQ(text_of("\0B\0e\0e\0s\0 \0f\0l\0y\0."s), "p@1 Bees fly.\n");
  EXPECT_EQ(text_of("\x1F\x04\x47\x04\x35\x04\x3B\x04\x30\x04 \0\x36\x04"s),
            "p@1 \u041f\u0447\u0435\u043b\u0430 \u0436\n");
  // Half a character at the end.
  expect_error(
      [&] {
        text_of(
            "\xFF\xFE"
            "B\0e"s);
      },
      {"t.txt: byte 4 is not UTF-16"});
}

TEST_F(ReaderEncoding, EightBitTextsAreGuessed) {
  // "Les abeilles sont élevées près des prés où les fleurs naissent en été. "
  const std::string latin =
      "Les abeilles sont \xe9lev\xe9"
      "es pr\xe8s des pr\xe9s o\xf9 les fleurs naissent en \xe9t\xe9. ";
  const std::string text =
      "Les abeilles sont \u00e9lev\u00e9"
      "es pr\u00e8s des pr\u00e9s o\u00f9 les fleurs naissent en \u00e9t\u00e9. ";
  EXPECT_EQ(text_of(repeated(latin, 3) + "Fin"), "p@1 " + repeated(text, 3) + "Fin\n");
}

TEST_F(ReaderEncoding, JapaneseTextsAreGuessed) {
  // "蜜蜂は花から花へ飛び、蜜を集めます。" in Shift-JIS, then in EUC-JP.
  const std::string text =
      "\u871c\u8702\u306f\u82b1\u304b\u3089\u82b1\u3078\u98db\u3073\u3001\u871c\u3092\u96c6\u3081\u307e\u3059"
      "\u3002";
  const std::string shift_jis =
      "\x96\xa8\x96\x49\x82\xcd\x89\xd4\x82\xa9\x82\xe7\x89\xd4\x82\xd6\x94\xf2\x82\xd1\x81\x41\x96\xa8\x82"
      "\xf0\x8f\x57\x82\xdf\x82\xdc\x82\xb7\x81\x42";
  EXPECT_EQ(text_of(repeated(shift_jis, 4)), "p@1 " + repeated(text, 4) + "\n");
  EXPECT_EQ(text_of(shift_jis, "CP932"), "p@1 " + text + "\n");
}

TEST_F(ReaderEncoding, TheGuessLooksAtWhatIsNotAscii) {
  const std::string ascii(3 << 20, 'x');
  const std::string latin =
      repeated("Les prairies sont fleuries en \xe9t\xe9, o\xf9 les abeilles vont apr\xe8s. ", 5);
  const std::string text = read_bytes_as("t.txt", ascii + "\n\n" + latin).blocks.at(1).text;
  EXPECT_TRUE(text.starts_with("Les prairies sont fleuries en \u00e9t\u00e9, o\u00f9")) << text;
}

TEST_F(ReaderEncoding, WhatIsAskedForIsObeyed) {
  EXPECT_EQ(text_of("\xe9", "ISO-8859-1"), "p@1 \u00e9\n");
  EXPECT_EQ(text_of("\xe9", "ISO-8859-7"), "p@1 \u03b9\n");
  expect_error([&] { text_of("x", "KLINGON"); }, {"t.txt: encoding", "iconv -l", "\"KLINGON\""});
  expect_error([&] { text_of("ab\xe9", "UTF-8"); }, {"t.txt: byte 2 is not UTF-8", "--encoding"});
  expect_error([&] { text_of("ab\xe9", "ASCII"); }, {"t.txt: byte 2 is not ASCII"});
}

TEST_F(ReaderEncoding, OneBrokenByteOfUtf8IsNamedOrReadAsWhatItLooksLike) {
  // Overlong forms, surrogates, too large, cut off: none of them is UTF-8.
  for (const char* bad :
       {"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    expect_error([&] { rag::to_utf8(bad, "UTF-8", "t"); }, {"t: byte 0 is not UTF-8"});
  }
}

TEST_F(ReaderEncoding, BinaryFilesAreRefused) {
  const std::string png = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\1\0\x08\x06"s;
  expect_error([&] { read_bytes_as("bee.png", png); },
               {"bee.png: expected a text, found a binary file (byte 8 is 0)"});
  expect_error([&] { text_of("text\0more of it"s); }, {"binary file (byte 4 is 0)"});
  expect_error([&] { text_of("text\0more"s, "UTF-8"); }, {"binary file (character 4 is 0)"});
  // Compressed data without a zero.
  std::string noise;
  for (uint32_t i = 1, x = 12345; i < 400; ++i) {
    x = x * 1664525U + 1013904223U;
    noise += static_cast<char>(x >> 24 == 0 ? 1 : x >> 24);
  }
  expect_error([&] { text_of(noise); }, {"binary file (it has many control codes)"});
}

}  // namespace
}  // namespace rotor::test
