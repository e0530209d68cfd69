// From what people type to what FTS5 matches: each word of it, but for those that nearly every chunk has.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

struct sqlite3;

namespace rotor::runtime::rag {

/// How chunks and queries become words, in SQL: Porter's stems of words without accents.
inline constexpr const char* kWordTokenizer = "porter unicode61 remove_diacritics 2";

struct Word {
  std::string indexed;  ///< its stem
  std::string written;  ///< as it stands in the query: a stem's stem may be another one
};

/// The words of `text`, each once. Throws Error.
std::vector<Word> index_words(sqlite3* database, const std::string& text);

/// `words` as a query that any of them matches; "" if there are none. Of words that many chunks have, the
/// commonest are left out, since they cost most and tell least: those kept are in at most `most` chunks all
/// together, but three are always kept. `chunks_with(indexed)`: in how many chunks it is.
std::string any_word_query(const std::vector<Word>& words,
                           const std::function<int64_t(const std::string& indexed)>& chunks_with,
                           int64_t most);

}  // namespace rotor::runtime::rag
