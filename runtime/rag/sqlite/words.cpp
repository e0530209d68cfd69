#include "runtime/rag/sqlite/words.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>

#include <utility>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {
namespace {

/// FTS5's own functions, by its documented way (fts5.html, "Extending FTS5").
fts5_api* fts5_of(sqlite3* database) {
  fts5_api* api = nullptr;
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(database, "SELECT fts5(?1)", -1, &statement, nullptr) == SQLITE_OK) {
    sqlite3_bind_pointer(statement, 1, &api, "fts5_api_ptr", nullptr);
    sqlite3_step(statement);
  }
  sqlite3_finalize(statement);
  if (api == nullptr) fail("this SQLite has no full-text search (FTS5)");
  return api;
}

struct Words {
  const std::string& text;
  std::map<std::string, std::string> written;  // of each indexed one
};

int take_word(void* to, int, const char* word, int size, int start, int end) {
  auto& words = *static_cast<Words*>(to);
  words.written.emplace(std::string(word, static_cast<size_t>(size)),
                        words.text.substr(static_cast<size_t>(start), static_cast<size_t>(end - start)));
  return SQLITE_OK;
}

/// A string in FTS5's query language is a phrase, whatever is in it.
std::string quoted(const std::string& word) {
  std::string text = "\"";
  for (const char c : word) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

}  // namespace

std::vector<Word> index_words(sqlite3* database, const std::string& text) {
  fts5_api* const api = fts5_of(database);
  fts5_tokenizer tokenizer = {};
  void* context = nullptr;
  std::array<const char*, 3> arguments = {"unicode61", "remove_diacritics", "2"};  // kWordTokenizer
  Fts5Tokenizer* made = nullptr;
  if (api->xFindTokenizer(api, "porter", &context, &tokenizer) != SQLITE_OK ||
      tokenizer.xCreate(context, arguments.data(), static_cast<int>(arguments.size()), &made) != SQLITE_OK) {
    fail("this SQLite has no tokenizer \"", kWordTokenizer, "\"");
  }
  const std::unique_ptr<Fts5Tokenizer, decltype(tokenizer.xDelete)> owned(made, tokenizer.xDelete);
  Words words{text, {}};
  tokenizer.xTokenize(made, &words, FTS5_TOKENIZE_QUERY, text.data(), static_cast<int>(text.size()),
                      take_word);
  std::vector<Word> result;
  for (const auto& [indexed, written] : words.written) result.push_back({indexed, written});
  return result;
}

std::string any_word_query(const std::vector<Word>& words,
                           const std::function<int64_t(const std::string& indexed)>& chunks_with,
                           int64_t most) {
  constexpr size_t kAlwaysKept = 3;
  std::vector<std::pair<int64_t, std::string>> known;
  for (const Word& word : words) {
    if (const int64_t chunks = chunks_with(word.indexed); chunks > 0)
      known.emplace_back(chunks, word.written);
  }
  std::ranges::sort(known);
  std::string query;
  int64_t matched = 0;
  for (size_t i = 0; i < known.size(); ++i) {
    matched += known[i].first;
    if (i >= kAlwaysKept && matched > most) break;
    query += (query.empty() ? "" : " OR ") + quoted(known[i].second);
  }
  return query;
}

}  // namespace rotor::runtime::rag
