#include "runtime/rag/words.h"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <map>
#include <tuple>
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

struct CloseDatabase {
  void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
};

}  // namespace

struct WordCutter::Tokenizer {
  explicit Tokenizer(sqlite3* database) {
    if (database == nullptr) {
      sqlite3* made_here = nullptr;
      sqlite3_open(":memory:", &made_here);
      own.reset(made_here);
      database = made_here;
    }
    fts5_api* const api = fts5_of(database);
    void* context = nullptr;
    std::array<const char*, 3> arguments = {"unicode61", "remove_diacritics", "2"};  // kWordTokenizer
    if (api->xFindTokenizer(api, "porter", &context, &functions) != SQLITE_OK ||
        functions.xCreate(context, arguments.data(), static_cast<int>(arguments.size()), &made) !=
            SQLITE_OK) {
      fail("this SQLite has no tokenizer \"", kWordTokenizer, "\"");
    }
  }
  ~Tokenizer() { functions.xDelete(made); }
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  std::unique_ptr<sqlite3, CloseDatabase> own;
  fts5_tokenizer functions = {};
  Fts5Tokenizer* made = nullptr;
};

WordCutter::WordCutter(sqlite3* database) : tokenizer_(std::make_unique<Tokenizer>(database)) {}

WordCutter::~WordCutter() = default;

void WordCutter::cut(std::string_view text, int how, const Take& take) const {
  struct Cut {
    std::string_view text;
    const Take& take;
  } cut{text, take};
  const auto on_word = [](void* to, int, const char* word, int size, int start, int end) {
    const auto& its = *static_cast<Cut*>(to);
    its.take({word, static_cast<size_t>(size)},
             its.text.substr(static_cast<size_t>(start), static_cast<size_t>(end - start)));
    return SQLITE_OK;
  };
  tokenizer_->functions.xTokenize(tokenizer_->made, &cut, how, text.data(), static_cast<int>(text.size()),
                                  on_word);
}

std::vector<std::string> WordCutter::stems(std::string_view text) const {
  std::vector<std::string> found;
  cut(text, FTS5_TOKENIZE_DOCUMENT,
      [&](std::string_view stem, std::string_view) { found.emplace_back(stem); });
  return found;
}

std::vector<Word> WordCutter::words(std::string_view text) const {
  std::map<std::string, std::string> written;  // of each stem
  cut(text, FTS5_TOKENIZE_QUERY, [&](std::string_view stem, std::string_view word) {
    written.emplace(std::string(stem), std::string(word));
  });
  std::vector<Word> found;
  for (const auto& [stem, word] : written) found.push_back({stem, word});
  return found;
}

std::vector<CountedWord> telling_words(const std::vector<Word>& words,
                                       const std::function<int64_t(const Word&)>& chunks_with) {
  constexpr size_t kAlwaysKept = 3;
  std::vector<CountedWord> known;
  for (const Word& word : words) {
    if (const int64_t chunks = chunks_with(word); chunks > 0) known.push_back({word, chunks});
  }
  std::ranges::sort(known, [](const CountedWord& a, const CountedWord& b) {
    return std::tie(a.chunks, a.word.written) < std::tie(b.chunks, b.word.written);
  });
  int64_t matched = 0;
  for (size_t i = 0; i < known.size(); ++i) {
    matched += known[i].chunks;
    if (i >= kAlwaysKept && matched > kMostMatched) {
      known.resize(i);
      break;
    }
  }
  return known;
}

}  // namespace rotor::runtime::rag
