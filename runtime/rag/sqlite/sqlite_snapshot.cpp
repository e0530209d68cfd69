#include "runtime/rag/sqlite/sqlite_snapshot.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/words.h"

namespace rotor::runtime::rag {
namespace {

constexpr const char* kDocumentColumns = "d.id, d.title, d.source, d.content, d.metadata, d.updated";
constexpr const char* kChunkColumns = "c.id, c.key, c.heading, c.text, c.line, c.page, c.tokens, ";

DocumentRecord read_document(const Statement& row, int column) {
  DocumentRecord record;
  record.id = row.text(column);
  record.title = row.text(column + 1);
  record.source = row.text(column + 2);
  record.content = row.text(column + 3);
  record.metadata = parse_json(row.text(column + 4), "metadata of " + record.id);
  record.updated = row.integer(column + 5);
  return record;
}

StoredChunk read_chunk(const Statement& row) {
  StoredChunk stored;
  stored.id = row.integer(0);
  stored.chunk.key = row.text(1);
  stored.chunk.heading = row.text(2);
  stored.chunk.text = row.text(3);
  stored.chunk.place = {row.integer(4), row.integer(5)};
  stored.chunk.tokens = row.integer(6);
  stored.document = read_document(row, 7);
  return stored;
}

/// In FTS5's query language a string is a phrase, whatever is in it.
std::string any_word_query(const std::vector<CountedWord>& words) {
  std::string query;
  for (const CountedWord& counted : words) {
    query += query.empty() ? "\"" : " OR \"";
    for (const char c : counted.word.written) query += c == '"' ? std::string("\"\"") : std::string(1, c);
    query += '"';
  }
  return query;
}

class SqliteSnapshot : public Snapshot {
 public:
  SqliteSnapshot(SnapshotParts parts, std::function<void(SnapshotParts)> give_back)
      : parts_(std::move(parts)), give_back_(std::move(give_back)) {}
  ~SqliteSnapshot() override {
    try {
      parts_.connection->database().execute("ROLLBACK");
      give_back_(std::move(parts_));
    } catch (const Error&) {
      // The connection goes with this object then.
    }
  }
  SqliteSnapshot(const SqliteSnapshot&) = delete;
  SqliteSnapshot& operator=(const SqliteSnapshot&) = delete;

  std::vector<Hit> match_words(const std::string& query, int64_t count, const Filter& filter) override {
    Statement& frequency = connection().statement("SELECT doc FROM word_counts WHERE term = ?");
    const int64_t generation = connection().base_number("generation");
    const auto chunks_with = [&](const Word& word) {
      return parts_.counts->get(generation, word.indexed, [&] {
        frequency.bind(word.indexed);
        const int64_t chunks = frequency.step() ? frequency.integer(0) : 0;
        frequency.reset();
        return chunks;
      });
    };
    const WordCutter cutter(connection().database().handle());
    const std::string match = any_word_query(telling_words(cutter.words(query), chunks_with));
    if (match.empty()) return {};
    // bm25() is better the smaller it is.
    std::string sql = "SELECT words.rowid, bm25(words) AS score FROM words WHERE words MATCH ?";
    if (!filter.empty()) {
      sql +=
          " AND words.rowid IN (SELECT c.id FROM chunks c JOIN documents d ON d.number = c.document WHERE 1" +
          filter_sql(filter) + ")";
    }
    Statement& search = connection().statement(sql + " ORDER BY score, words.rowid LIMIT ?");
    search.bind_one(1, match);
    search.bind_one(bind_filter(search, 2, filter), count);
    std::vector<Hit> hits;
    while (search.step()) hits.push_back({search.integer(0), -search.number(1)});
    search.reset();
    return hits;
  }

  std::vector<Hit> match_vector(std::span<const float> vector, int64_t count, const Filter& filter) override {
    if (parts_.index == nullptr) return {};
    if (std::ssize(vector) != parts_.index->dimensions())
      fail("search: expected a vector of ", parts_.index->dimensions(), " numbers, found ", vector.size());
    if (filter.empty()) return parts_.index->search(vector, count);
    Statement& search =
        connection().statement("SELECT c.id FROM chunks c JOIN documents d ON d.number = c.document WHERE 1" +
                               filter_sql(filter) + " ORDER BY c.id");
    bind_filter(search, 1, filter);
    std::vector<int64_t> among;
    while (search.step()) among.push_back(search.integer(0));
    search.reset();
    return parts_.index->search(vector, count, among);
  }

  std::vector<StoredChunk> chunks(std::span<const int64_t> ids) override {
    Statement& read =
        connection().statement(std::string("SELECT ") + kChunkColumns + kDocumentColumns +
                               " FROM chunks c JOIN documents d ON d.number = c.document WHERE c.id = ?");
    std::vector<StoredChunk> found;
    for (const int64_t id : ids) {
      read.bind(id);
      if (!read.step()) fail(connection().database().path(), ": chunk ", id, " is not there");
      found.push_back(read_chunk(read));
    }
    read.reset();
    return found;
  }

  std::vector<float> vectors(std::span<const int64_t> ids) override {
    if (parts_.index == nullptr) fail(connection().database().path(), ": this base has no vectors");
    const auto width = static_cast<size_t>(parts_.index->dimensions());
    std::vector<float> values(ids.size() * width);
    Statement& read = connection().statement("SELECT vector FROM vectors WHERE chunk = ?");
    for (size_t i = 0; i < ids.size(); ++i) {
      read.bind(ids[i]);
      if (!read.step() || read.bytes(0).size() != width * sizeof(float))
        fail(connection().database().path(), ": chunk ", ids[i], ": expected a vector of ", width,
             " numbers");
      std::memcpy(values.data() + i * width, read.bytes(0).data(), width * sizeof(float));
    }
    read.reset();
    return values;
  }

  std::optional<DocumentRecord> document(const std::string& id) override {
    const std::vector<DocumentRecord> found = list(" AND d.id = ?", {}, {id}, 1);
    return found.empty() ? std::nullopt : std::optional(found.front());
  }

  std::vector<DocumentRecord> documents(const Filter& filter, const std::string& after,
                                        int64_t count) override {
    return list(" AND d.id > ?", filter, {after}, count);
  }

  std::vector<StoredChunk> chunks_of(const std::string& document) override {
    Statement& read =
        connection().statement(std::string("SELECT ") + kChunkColumns + kDocumentColumns +
                               " FROM documents d JOIN chunks c ON c.document = d.number WHERE d.id = ?"
                               " ORDER BY c.position");
    read.bind(document);
    std::vector<StoredChunk> found;
    while (read.step()) found.push_back(read_chunk(read));
    read.reset();
    return found;
  }

  StoreStatistics statistics() override {
    StoreStatistics statistics;
    statistics.documents = number("SELECT count(*) FROM documents");
    statistics.chunks = number("SELECT count(*) FROM chunks");
    statistics.bytes = number("PRAGMA page_count") * number("PRAGMA page_size");
    return statistics;
  }

 private:
  Connection& connection() { return *parts_.connection; }

  int64_t number(const std::string& sql) {
    Statement& read = connection().statement(sql);
    const int64_t value = read.step() ? read.integer(0) : 0;
    read.reset();
    return value;
  }

  std::vector<DocumentRecord> list(const std::string& condition, const Filter& filter,
                                   const std::string& value, int64_t count) {
    Statement& read = connection().statement(
        std::string("SELECT ") + kDocumentColumns +
        ", (SELECT count(*) FROM chunks c WHERE c.document = d.number) FROM documents d WHERE 1" + condition +
        filter_sql(filter) + " ORDER BY d.id LIMIT ?");
    read.bind_one(1, value);
    read.bind_one(bind_filter(read, 2, filter), count);
    std::vector<DocumentRecord> found;
    while (read.step()) {
      found.push_back(read_document(read, 0));
      found.back().chunks = read.integer(6);
    }
    read.reset();
    return found;
  }

  SnapshotParts parts_;
  std::function<void(SnapshotParts)> give_back_;
};

}  // namespace

std::unique_ptr<Snapshot> sqlite_snapshot(SnapshotParts parts, std::function<void(SnapshotParts)> give_back) {
  return std::make_unique<SqliteSnapshot>(std::move(parts), std::move(give_back));
}

}  // namespace rotor::runtime::rag
