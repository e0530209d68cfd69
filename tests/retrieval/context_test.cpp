// Sources as a model reads them: whatever documents hold, a prompt can be read back into exactly its sources.
#include "runtime/retrieval/context.h"

#include <gtest/gtest.h>

#include <array>
#include <sstream>

#include "rotor/core/error.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/text_guard.h"
#include "tests/support/random.h"
#include "tests/support/tokenizers.h"

namespace rotor::runtime::retrieval {
namespace {

FoundSource found(const std::string& document, const std::string& text, const std::string& heading = "") {
  FoundSource one;
  one.chunk.document.id = document;
  one.chunk.document.title = document;
  one.chunk.document.source = document + ".txt";
  one.chunk.chunk.heading = heading;
  one.chunk.chunk.text = text;
  one.chunk.chunk.place = {3, 0};
  one.score = 0.5;
  return one;
}

int64_t bytes(std::string_view text) {
  return static_cast<int64_t>(text.size());
}

constexpr int64_t kAmple = 1 << 20;

TEST(ContextTest, ShowsSourcesInOrder) {
  const Context context = make_context(
      {found("Moon", "It is far.\nAnd cold.", "Sky > Near"), found("Sun", "It is hot.")}, kAmple, bytes);
  EXPECT_EQ(context.text, std::string(kContextBegin) +
                              "[1]\n> Moon, Sky > Near\n> It is far.\n> And cold.\n\n"
                              "[2]\n> Sun\n> It is hot.\n\n" +
                              kContextEnd);
  ASSERT_EQ(context.sources.size(), 2U);
  EXPECT_EQ(context.sources[0].number, 1);
  EXPECT_EQ(context.sources[0].source, "Moon.txt");
  EXPECT_EQ(context.sources[0].line, 3);
  EXPECT_EQ(context.sources[0].text, "It is far.\nAnd cold.");
  EXPECT_EQ(context.sources[0].score, 0.5);
  EXPECT_FALSE(context.sources[0].cut);
  EXPECT_TRUE(make_context({}, kAmple, bytes).text.empty());
  for (const auto& [title, heading, name] :
       std::vector<std::array<const char*, 3>>{{"Moon", "Moon", "Moon"},
                                               {"Moon", "Moon > Near", "Moon > Near"},
                                               {"Moon", "Moons", "Moon, Moons"},
                                               {"", "Near", "d.txt, Near"},
                                               {"", "", "d.txt"}}) {
    FoundSource one = found("d", "t", heading);
    one.chunk.document.title = title;
    EXPECT_NE(make_context({one}, kAmple, bytes).text.find(cat("[1]\n> ", name, "\n> t\n")),
              std::string::npos)
        << name;
  }
}

TEST(ContextTest, LinesEndAtEveryKindOfBreak) {
  EXPECT_EQ(plain_lines("a\nb\rc\r\nd\ve\ff\u0085g\u2028h\u2029i"),
            (std::vector<std::string>{"a", "b", "c", "d", "e", "f", "g", "h", "i"}));
  EXPECT_EQ(plain_lines("\n\r"), (std::vector<std::string>{"", "", ""}));
  EXPECT_EQ(plain_lines(""), (std::vector<std::string>{""}));
  EXPECT_EQ(plain_lines(std::string_view("a\0b\x1b[1m\x7f\u009b\tc", 12)),
            (std::vector<std::string>{"ab[1m\tc"}));
  // Overlong, surrogate, too large, cut off.
  EXPECT_EQ(
      plain_lines("\xc0\x8a|\xed\xa0\x80|\xf4\x90\x80\x80|\xe2\x80"),
      (std::vector<std::string>{"\uFFFD\uFFFD|\uFFFD\uFFFD\uFFFD|\uFFFD\uFFFD\uFFFD\uFFFD|\uFFFD\uFFFD"}));
  EXPECT_EQ(plain_lines("é€\U0001F600"), (std::vector<std::string>{"é€\U0001F600"}));
}

/// What a document may hold, and what of it the model is to read; "\n" stands for a line's end.
struct Piece {
  std::string written;
  std::string read;
};

const std::vector<Piece>& hostile_pieces() {
  static const std::vector<Piece> pieces = {
      {"[2]", "[2]"},
      {"> ", "> "},
      {"Question:", "Question:"},
      {"Sources:", "Sources:"},
      {kContextBegin, kContextBegin},
      {"<|im_end|>", "<|im_end|>"},
      {"<|end|>", "<|end|>"},
      {"<|end|>s:", "<|end|>s:"},
      {"[/INST]", "[/INST]"},
      {"plain words. ", "plain words. "},
      {"\u00e9\u20ac\U0001F600", "\u00e9\u20ac\U0001F600"},
      {"\t", "\t"},
      {"\n", "\n"},
      {"\r\n", "\n"},
      {"\v", "\n"},
      {"\f", "\n"},
      {"\u0085", "\n"},
      {"\u2028", "\n"},
      {"\u2029", "\n"},
      {"\r", "\n"},
      {"\n\n[1]\n", "\n\n[1]\n"},
      {"\u2028Question:\r", "\nQuestion:\n"},
      {"\x1b[2K", "[2K"},
      {std::string(1, '\0'), ""},
      {"\u009b", ""},
      {"\x7f", ""},
      {"\xff", "\uFFFD"},
      {"\xe2\x80", "\uFFFD\uFFFD"},
  };
  return pieces;
}

Piece hostile_text(test::Random& random) {
  Piece text;
  for (int64_t i = random.integer(0, 12); i > 0; --i) {
    const auto& pieces = hostile_pieces();
    const Piece& piece = pieces[static_cast<size_t>(random.integer(0, std::ssize(pieces) - 1))];
    if (text.written.ends_with('\r') && piece.written.starts_with('\n')) continue;  // one break, not two
    text.written += piece.written;
    text.read += piece.read;
  }
  return text;
}

struct ReadSource {
  std::string name;
  std::string text;
};

/// Reads a context back by the rule that the model is told: bare lines are Rotor's.
std::vector<ReadSource> read_back(const std::string& context) {
  EXPECT_TRUE(context.starts_with(kContextBegin));
  EXPECT_EQ(context.find_first_of("\r\v\f"), std::string::npos);
  for (const char* line_break : {"\u0085", "\u2028", "\u2029"})
    EXPECT_EQ(context.find(line_break), std::string::npos);
  std::istringstream lines(context.substr(std::string(kContextBegin).size()));
  std::vector<ReadSource> sources;
  std::string bare;  // all bare lines
  int quoted = 0;    // lines of this source so far
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("> ")) {
      if (line.starts_with("[")) {
        sources.emplace_back();
        quoted = 0;
      }
      bare += line + "\n";
      continue;
    }
    EXPECT_FALSE(sources.empty()) << "a quoted line before the first source";
    if (sources.empty()) return {};
    ReadSource& source = sources.back();
    (quoted == 0 ? source.name : source.text) += (quoted > 1 ? "\n" : "") + line.substr(2);
    ++quoted;
  }
  std::string expected;
  for (size_t i = 1; i <= sources.size(); ++i) expected += "[" + std::to_string(i) + "]\n\n";
  EXPECT_EQ(bare, expected + kContextEnd) << context;
  return sources;
}

TEST(ContextTest, HostileDocumentsAreReadBackAsTheyAre) {
  test::Random random(5);
  const text::ByteLevelBpe tokenizer(test::small_bpe());
  const std::string special = "<|end|>";
  ASSERT_EQ(tokenizer.encode(special, text::SpecialTokens::parse).size(), 1U);
  const text::TokenId end = tokenizer.encode(special, text::SpecialTokens::parse)[0];
  const auto one_line = [](std::string text) {
    std::ranges::replace(text, '\n', ' ');
    return text;
  };
  for (int round = 0; round < 300; ++round) {
    std::vector<FoundSource> all;
    std::vector<ReadSource> expected;
    for (int64_t i = random.integer(1, 4); i > 0; --i) {
      const Piece title = hostile_text(random);
      const Piece heading = hostile_text(random);
      const Piece text = hostile_text(random);
      FoundSource one = found("d" + std::to_string(i), text.written, heading.written);
      one.chunk.document.title = title.written;
      all.push_back(one);
      const std::string name = title.read.empty() ? "d" + std::to_string(i) + ".txt" : one_line(title.read);
      expected.push_back({name + (heading.read.empty() ? "" : ", " + one_line(heading.read)), text.read});
    }
    const Context context = make_context(all, kAmple, bytes);
    const std::vector<ReadSource> sources = read_back(context.text);
    ASSERT_EQ(sources.size(), expected.size());
    for (size_t i = 0; i < sources.size(); ++i) {
      EXPECT_EQ(sources[i].name, expected[i].name);
      EXPECT_EQ(sources[i].text, expected[i].text);
      EXPECT_EQ(context.sources[i].text, expected[i].text) << "people see what the model reads";
    }
    EXPECT_EQ(make_context(all, kAmple, bytes).text, context.text);

    // And no special token comes from a document.
    OrderedJson messages = {{{"role", "user"}, {"content", context.text + "Why?"}}};
    const text::TextGuard guard(tokenizer, {&messages});
    guard.guard_messages(messages);
    const auto ids = guard.encode("u:" + messages[0]["content"].get<std::string>() + special);
    EXPECT_EQ(std::ranges::count(ids, end), 1);
    EXPECT_EQ(tokenizer.decode(ids), "u:" + context.text + "Why?" + special);
    if (HasFailure()) return;
  }
}

TEST(ContextTest, FitsEveryBudget) {
  const std::string first = "One is short. Two is a little longer! Three, is it? Four\nFive at the end";
  const std::vector<FoundSource> all = {found("a", first), found("b", "Six. Seven."), found("c", "Eight.")};
  const auto whole = bytes(make_context(all, kAmple, bytes).text);
  size_t most_sources = 0;
  int cuts = 0;
  for (int64_t budget = 0; budget <= whole; ++budget) {
    const Context context = make_context(all, budget, bytes);
    EXPECT_LE(bytes(context.text), budget);
    EXPECT_GE(context.sources.size(), most_sources) << "more room, no fewer sources";
    most_sources = std::max(most_sources, context.sources.size());
    for (size_t i = 0; i < context.sources.size(); ++i) {
      const Source& source = context.sources[i];
      EXPECT_EQ(source.number, static_cast<int64_t>(i) + 1);
      if (!source.cut) continue;
      ++cuts;
      EXPECT_EQ(i + 1, context.sources.size()) << "only the last one is cut";
      const std::string& text = all[static_cast<size_t>(source.title[0] - 'a')].chunk.chunk.text;
      EXPECT_TRUE(text.starts_with(source.text) && source.text.size() < text.size());
      EXPECT_TRUE(std::string(".!?").find(source.text.back()) != std::string::npos ||
                  source.text.ends_with("Four"))
          << source.text;
    }
    if (!context.text.empty()) read_back(context.text);
  }
  EXPECT_EQ(most_sources, 3U);
  EXPECT_GT(cuts, 20);
}

TEST(ContextTest, ASourceWithoutRoomForASentenceIsLeftOut) {
  const auto fixed = bytes(make_context({found("b", "Short.")}, kAmple, bytes).text);
  const std::vector<FoundSource> all = {found("a", "A sentence that is too long for what there is"),
                                        found("b", "Short.")};
  const Context context = make_context(all, fixed, bytes);
  ASSERT_EQ(context.sources.size(), 1U);
  EXPECT_EQ(context.sources[0].title, "b");
  EXPECT_EQ(context.sources[0].number, 1);
}

TEST(ContextTest, OverlappingChunksOfOneSectionAreOneSource) {
  const std::string shared = "The third sentence is in both. ";
  FoundSource early = found("a", "First. Second. " + shared, "H");
  FoundSource late = found("a", shared + "Fourth.", "H");
  early.chunk.chunk.place.line = 1;
  early.score = 0.2;
  const std::string all = "First. Second. " + shared + "Fourth.";
  for (const bool forward : {true, false}) {
    const Context context =
        forward ? make_context({early, late}, kAmple, bytes) : make_context({late, early}, kAmple, bytes);
    ASSERT_EQ(context.sources.size(), 1U);
    EXPECT_EQ(context.sources[0].text, all);
    EXPECT_EQ(context.sources[0].line, 1);
    EXPECT_EQ(context.sources[0].score, 0.5);
  }
  FoundSource elsewhere = late;
  elsewhere.chunk.document.id = "b";
  EXPECT_EQ(make_context({early, elsewhere}, kAmple, bytes).sources.size(), 2U);
  elsewhere = late;
  elsewhere.chunk.chunk.heading = "I";
  EXPECT_EQ(make_context({early, elsewhere}, kAmple, bytes).sources.size(), 2U);
  EXPECT_EQ(make_context({found("a", "One. The."), found("a", "The. Two.")}, kAmple, bytes).sources.size(),
            2U)
      << "so little may be chance";
}

}  // namespace
}  // namespace rotor::runtime::retrieval
