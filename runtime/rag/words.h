// Texts as the words that searches go by, cut and brought to their stems by FTS5's tokenizer, so that every
// store has the same ones; and which of a question's words are looked for.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;

namespace rotor::runtime::rag {

/// How chunks and queries become words, in SQL: Porter's stems of words without accents.
inline constexpr const char* kWordTokenizer = "porter unicode61 remove_diacritics 2";

/// Words in more chunks than this, all together, cost more time than they help (docs/rag.md has the
/// measurement).
inline constexpr int64_t kMostMatched = 20000;

/// BM25's parameters, FTS5's own.
inline constexpr double kBm25K1 = 1.2;
inline constexpr double kBm25B = 0.75;

struct Word {
  std::string indexed;  ///< its stem
  std::string written;  ///< as it stands in the query: a stem's stem may be another one
};

/// Used by one thread at a time.
class WordCutter {
 public:
  /// `database`, which must outlive this, has FTS5; nullptr: one of its own. Throws Error.
  explicit WordCutter(sqlite3* database = nullptr);
  ~WordCutter();
  WordCutter(const WordCutter&) = delete;
  WordCutter& operator=(const WordCutter&) = delete;

  /// The stems of a chunk's words, in order.
  std::vector<std::string> stems(std::string_view text) const;
  /// The words of a query, each once.
  std::vector<Word> words(std::string_view text) const;

 private:
  using Take = std::function<void(std::string_view stem, std::string_view written)>;
  void cut(std::string_view text, int how, const Take& take) const;

  struct Tokenizer;
  std::unique_ptr<Tokenizer> tokenizer_;
};

struct CountedWord {
  Word word;
  int64_t chunks = 0;  ///< that have it
};

/// Those of `words` that chunks have. Of words that many chunks have, the commonest are left out, since they
/// cost most and tell least: those kept are in at most kMostMatched chunks all together, but three are always
/// kept. `chunks_with`: in how many chunks a word is.
std::vector<CountedWord> telling_words(const std::vector<Word>& words,
                                       const std::function<int64_t(const Word&)>& chunks_with);

}  // namespace rotor::runtime::rag
