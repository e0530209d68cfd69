// A stop string ends a text at the same place wherever the pieces of the stream begin and end.
#include "runtime/engine/stop_strings.h"

#include <gtest/gtest.h>

#include "rotor/text/stream_decoder.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime {
namespace {

TEST(StopStrings, HoldsBackWhatMayBecomeOne) {
  StopStrings stops({"\nUser:"});
  EXPECT_EQ(stops.push("Hello"), "Hello");
  EXPECT_EQ(stops.push(" you\nUs"), " you");
  EXPECT_EQ(stops.push("e a\n"), "\nUse a");
  EXPECT_EQ(stops.push("\nUser"), "\n");
  EXPECT_FALSE(stops.found());
  EXPECT_EQ(stops.push(": next"), "");
  EXPECT_TRUE(stops.found());
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
}

TEST(StopStrings, GivesOutWhatWasHeldBackAtTheEnd) {
  StopStrings stops({"END"});
  EXPECT_EQ(stops.push("the EN"), "the ");
  EXPECT_EQ(stops.finish(), "EN");
  EXPECT_EQ(stops.finish(), "");
  StopStrings none({});
  EXPECT_EQ(none.push("the END"), "the END");
  EXPECT_FALSE(none.found());
}

TEST(StopStrings, TheFirstCompleteOneEndsTheText) {
  StopStrings inner({"abcd", "bc"});
  EXPECT_EQ(inner.push("xabcd"), "xa");
  StopStrings longer({"c", "abc"});
  EXPECT_EQ(longer.push("xabcd"), "x");
  StopStrings repeated({"aab"});
  EXPECT_EQ(repeated.push("aaa"), "a");
  EXPECT_EQ(repeated.push("ab"), "a");
  EXPECT_TRUE(repeated.found());
}

TEST(StopStrings, PiecesDoNotMatter) {
  test::Random random(7);
  const std::vector<std::vector<std::string>> sets = {
      {"ab"}, {"abab", "ba"}, {"aab", "abba"}, {"bbb", "é", "aéb"}};
  const std::vector<std::string> letters = {"a", "b", "é", "è"};
  for (int round = 0; round < 500; ++round) {
    const auto& strings = sets[static_cast<size_t>(round) % sets.size()];
    std::string text;
    for (int i = 0; i < 12; ++i) text += letters[static_cast<size_t>(random.integer(0, 3))];
    // What is expected: the prefixes of the text, shortest first; the first that ends in a stop string.
    std::string expected = text;
    bool expect_found = false;
    for (size_t end = 1; end <= text.size() && !expect_found; ++end) {
      size_t longest = 0;
      for (const std::string& s : strings) {
        if (std::string_view(text).substr(0, end).ends_with(s)) longest = std::max(longest, s.size());
      }
      expect_found = longest > 0;
      if (expect_found) expected = text.substr(0, end - longest);
    }
    StopStrings stops(strings);
    std::string found;
    for (size_t at = 0; at < text.size();) {
      size_t end = at + static_cast<size_t>(random.integer(1, 5));
      while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
      const std::string out = stops.push(std::string_view(text).substr(at, end - at));
      EXPECT_EQ(text::valid_utf8_prefix(out), out.size());
      found += out;
      at = end;
    }
    found += stops.finish();
    EXPECT_EQ(stops.found(), expect_found) << text;
    EXPECT_EQ(found, expected) << text;
  }
}

TEST(StopStrings, BadOnesAreErrors) {
  test::expect_error([] { StopStrings({"a", ""}); }, {"stop string", "at least one character"});
  test::expect_error([] { StopStrings({"\xBF"}); }, {"stop string", "UTF-8"});
}

}  // namespace
}  // namespace rotor::runtime
