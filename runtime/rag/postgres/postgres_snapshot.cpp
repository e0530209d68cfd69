// BM25 as FTS5 has it, on PostgreSQL's full-text search. That has no rank that knows how rare a word is, but
// ts_rank() of one word tells how often the word is there: with all weights 1 it is the sum of 1 / k^2 for k
// = 1 to the number of places, over pi^2 / 6 (src/backend/utils/adt/tsrank.c, calc_rank_or).
#include "runtime/rag/postgres/postgres_snapshot.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace rotor::runtime::rag {
namespace {

constexpr const char* kDocumentColumns = "d.id, d.title, d.source, d.content, d.metadata, d.updated";
constexpr const char* kChunkColumns = "c.id, c.key, c.heading, c.text, c.line, c.page, c.tokens, ";

/// More of the nearest vectors than are wanted: PostgreSQL orders them by float32.
constexpr int64_t kMoreVectors = 16;

DocumentRecord read_document(const PostgresResult& result, int64_t row, int column) {
  DocumentRecord record;
  record.id = result.text(row, column);
  record.title = result.text(row, column + 1);
  record.source = result.text(row, column + 2);
  record.content = result.text(row, column + 3);
  record.metadata = parse_json(result.text(row, column + 4), "metadata of " + record.id);
  record.updated = result.integer(row, column + 5);
  return record;
}

StoredChunk read_chunk(const PostgresResult& result, int64_t row) {
  StoredChunk stored;
  stored.id = result.integer(row, 0);
  stored.chunk.key = result.text(row, 1);
  stored.chunk.heading = result.text(row, 2);
  stored.chunk.text = result.text(row, 3);
  stored.chunk.place = {result.integer(row, 4), result.integer(row, 5)};
  stored.chunk.tokens = result.integer(row, 6);
  stored.document = read_document(result, row, 7);
  return stored;
}

template <class Value>
Value big_endian(std::string_view bytes) {
  Value value{};
  std::string turned(bytes.substr(0, sizeof(value)));
  if constexpr (std::endian::native == std::endian::little) std::ranges::reverse(turned);
  std::memcpy(&value, turned.data(), sizeof(value));
  return value;
}

/// pgvector's binary form: the number of dimensions (int16), two bytes of nothing, float32 each.
std::vector<float> read_vector(std::string_view bytes) {
  constexpr size_t kHeader = 4;
  std::vector<float> values;
  for (size_t at = kHeader; at + sizeof(float) <= bytes.size(); at += sizeof(float))
    values.push_back(big_endian<float>(bytes.substr(at)));
  return values;
}

/// A rank is above the n-th of these if its word is there more than n times; tsvectors count up to 255.
std::string rank_thresholds() {
  constexpr int kMostPlaces = 255;
  std::vector<std::string> thresholds;
  float sum = 0.0F;
  for (int places = 1; places <= kMostPlaces; ++places) {
    const float term = 1.0F / static_cast<float>(places * places);
    const double rank = (static_cast<double>(sum) + static_cast<double>(term) / 2) / 1.64493406685;
    thresholds.push_back(cat(rank));
    sum += term;
  }
  return array_text(thresholds);
}

double inverse_frequency(int64_t chunks, int64_t with_word) {
  const auto all = static_cast<double>(chunks);
  const auto its = static_cast<double>(with_word);
  const double value = std::log((all - its + 0.5) / (its + 0.5));
  return value > 0.0 ? value : 1e-6;  // as FTS5 has it for words in more than half of all
}

class PostgresSnapshot : public Snapshot {
 public:
  PostgresSnapshot(std::unique_ptr<PostgresConnection> connection, const BaseConfig& config,
                   std::function<void(std::unique_ptr<PostgresConnection>)> give_back)
      : connection_(std::move(connection)), config_(config), give_back_(std::move(give_back)) {
    transaction_ = std::make_unique<PostgresTransaction>(*connection_, PostgresTransaction::Kind::snapshot);
    // The state is that of the first statement.
    const PostgresResult totals =
        connection_->run("SELECT coalesce(sum(chunks), 0), coalesce(sum(words), 0) FROM totals");
    chunks_ = totals.integer(0, 0);
    words_ = totals.integer(0, 1);
  }
  ~PostgresSnapshot() override {
    transaction_.reset();
    if (!connection_->is_lost()) give_back_(std::move(connection_));
  }
  PostgresSnapshot(const PostgresSnapshot&) = delete;
  PostgresSnapshot& operator=(const PostgresSnapshot&) = delete;

  std::vector<Hit> match_words(const std::string& query, int64_t count, const Filter& filter) override {
    const std::vector<CountedWord> words = known_words(query);
    if (words.empty()) return {};
    Query search("SELECT chunk, score FROM (SELECT w.chunk, ");
    const std::string average = search.bind(static_cast<double>(words_) / static_cast<double>(chunks_));
    const std::string thresholds = search.bind(rank_thresholds());
    // f (k1 + 1) / (f + K) = (k1 + 1) (1 - K / (f + K)), in which the frequency f of a word stands once.
    // PostgreSQL takes constants for decimal fractions, whose arithmetic is slow.
    const std::string long_ones = cat("(", kBm25K1 * (1.0 - kBm25B), "::float8 + ", kBm25K1 * kBm25B,
                                      "::float8 * w.length::float8 / ", average, ")");
    std::string any;
    const char* plus = "";
    for (const CountedWord& counted : words) {
      const std::string word = search.bind(tsquery_text(counted.word.indexed));
      search << plus << search.bind(inverse_frequency(chunks_, counted.chunks)) << " * "
             << cat(kBm25K1 + 1.0, "::float8") << " * (1 - " << long_ones
             << " / (width_bucket(ts_rank('{1,1,1,1}', w.words, " << word << "::tsquery), " << thresholds
             << "::float4[]) + " << long_ones << "))";
      any += (any.empty() ? "" : " | ") + tsquery_text(counted.word.indexed);
      plus = " + ";
    }
    search << " AS score FROM words w WHERE w.words @@ " << search.bind(any) << "::tsquery";
    if (!filter.empty()) {
      search << " AND w.chunk IN (SELECT c.id FROM chunks c JOIN documents d ON d.number = c.document WHERE "
                "true";
      add_filter(search, filter);
      search << ")";
    }
    search << ") AS ranked ORDER BY score DESC, chunk LIMIT " << search.bind(count);
    const PostgresResult found = connection_->run(search);
    std::vector<Hit> hits;
    for (int64_t row = 0; row < found.rows(); ++row)
      hits.push_back({found.integer(row, 0), found.number(row, 1)});
    return hits;
  }

  std::vector<Hit> match_vector(std::span<const float> vector, int64_t count, const Filter& filter) override {
    if (config_.dimensions == 0) return {};
    if (std::ssize(vector) != config_.dimensions)
      fail("search: expected a vector of ", config_.dimensions, " numbers, found ", vector.size());
    Query search("SELECT v.chunk::text, v.vector FROM vectors v");
    if (!filter.empty()) {
      search << " JOIN chunks c ON c.id = v.chunk JOIN documents d ON d.number = c.document WHERE true";
      add_filter(search, filter);
    }
    search << " ORDER BY v.vector <#> " << search.bind(vector_text(vector)) << "::vector LIMIT "
           << search.bind(count + kMoreVectors);
    const PostgresResult found = connection_->run(search, PostgresConnection::Format::binary);
    std::vector<Hit> hits;
    for (int64_t row = 0; row < found.rows(); ++row)
      hits.push_back({found.integer(row, 0), inner_product(vector, read_vector(found.bytes(row, 1)))});
    keep_best(hits, count);
    return hits;
  }

  std::vector<StoredChunk> chunks(std::span<const int64_t> ids) override {
    Query read("SELECT ");
    read << kChunkColumns << kDocumentColumns << " FROM unnest(" << read.bind(array_text(ids))
         << "::bigint[]) WITH ORDINALITY AS wanted(id, place) JOIN chunks c ON c.id = wanted.id"
            " JOIN documents d ON d.number = c.document ORDER BY wanted.place";
    std::vector<StoredChunk> found = read_chunks(read);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (i >= found.size() || found[i].id != ids[i])
        fail(connection_->address().name, ": chunk ", ids[i], " is not there");
    }
    return found;
  }

  std::vector<float> vectors(std::span<const int64_t> ids) override {
    if (config_.dimensions == 0) fail(connection_->address().name, ": this base has no vectors");
    Query read("SELECT v.vector FROM unnest(");
    read << read.bind(array_text(ids))
         << "::bigint[]) WITH ORDINALITY AS wanted(id, place) JOIN vectors v ON v.chunk = wanted.id"
            " ORDER BY wanted.place";
    const PostgresResult found = connection_->run(read, PostgresConnection::Format::binary);
    std::vector<float> values;
    for (int64_t row = 0; row < found.rows(); ++row) {
      const std::vector<float> its = read_vector(found.bytes(row, 0));
      values.insert(values.end(), its.begin(), its.end());
    }
    if (values.size() != ids.size() * static_cast<size_t>(config_.dimensions))
      fail(connection_->address().name, ": expected vectors of ", ids.size(), " chunks, found ",
           found.rows());
    return values;
  }

  std::optional<DocumentRecord> document(const std::string& id) override {
    const std::vector<DocumentRecord> found = list(" AND d.id = ", {}, id, 1);
    return found.empty() ? std::nullopt : std::optional(found.front());
  }

  std::vector<DocumentRecord> documents(const Filter& filter, const std::string& after,
                                        int64_t count) override {
    return list(" AND d.id > ", filter, after, count);
  }

  std::vector<StoredChunk> chunks_of(const std::string& document) override {
    Query read("SELECT ");
    read << kChunkColumns << kDocumentColumns
         << " FROM documents d JOIN chunks c ON c.document = d.number WHERE d.id = "
         << read.bind(to_utf8(document)) << " ORDER BY c.position";
    return read_chunks(read);
  }

  StoreStatistics statistics() override {
    Query read(
        "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks), "
        "(SELECT coalesce(sum(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND "
        "relnamespace = to_regnamespace(");
    read << read.bind(quoted_name(connection_->address().base)) << "))";
    const PostgresResult found = connection_->run(read);
    return {found.integer(0, 0), found.integer(0, 1), found.integer(0, 2)};
  }

 private:
  /// Those of a query that are looked for, and in how many chunks they are.
  std::vector<CountedWord> known_words(const std::string& query) {
    const std::vector<Word> words = connection_->words().words(query);
    std::vector<std::string> wanted;
    for (const Word& word : words) wanted.push_back(tsquery_text(word.indexed));
    Query count("SELECT (SELECT count(*) FROM words w WHERE w.words @@ wanted.word) FROM unnest(");
    count << count.bind(array_text(wanted))
          << "::tsquery[]) WITH ORDINALITY AS wanted(word, place) ORDER BY place";
    const PostgresResult counted = connection_->run(count);
    return telling_words(words, [&](const Word& word) {
      return counted.integer(std::ranges::find(words, word.indexed, &Word::indexed) - words.begin(), 0);
    });
  }

  std::vector<StoredChunk> read_chunks(const Query& query) {
    const PostgresResult result = connection_->run(query);
    std::vector<StoredChunk> found;
    for (int64_t row = 0; row < result.rows(); ++row) found.push_back(read_chunk(result, row));
    return found;
  }

  std::vector<DocumentRecord> list(const char* condition, const Filter& filter, const std::string& id,
                                   int64_t count) {
    Query read("SELECT ");
    read << kDocumentColumns
         << ", (SELECT count(*) FROM chunks c WHERE c.document = d.number) FROM documents d WHERE true"
         << condition << read.bind(to_utf8(id));
    add_filter(read, filter);
    read << " ORDER BY d.id LIMIT " << read.bind(count);
    const PostgresResult result = connection_->run(read);
    std::vector<DocumentRecord> found;
    for (int64_t row = 0; row < result.rows(); ++row) {
      found.push_back(read_document(result, row, 0));
      found.back().chunks = result.integer(row, 6);
    }
    return found;
  }

  std::unique_ptr<PostgresConnection> connection_;
  std::unique_ptr<PostgresTransaction> transaction_;
  const BaseConfig& config_;
  std::function<void(std::unique_ptr<PostgresConnection>)> give_back_;
  int64_t chunks_ = 0;
  int64_t words_ = 0;  // of all of them
};

}  // namespace

std::unique_ptr<Snapshot> postgres_snapshot(
    std::unique_ptr<PostgresConnection> connection, const BaseConfig& config,
    std::function<void(std::unique_ptr<PostgresConnection>)> give_back) {
  return std::make_unique<PostgresSnapshot>(std::move(connection), config, std::move(give_back));
}

}  // namespace rotor::runtime::rag
