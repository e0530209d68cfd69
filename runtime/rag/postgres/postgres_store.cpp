#include "runtime/rag/postgres/postgres_store.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <map>
#include <optional>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/postgres/pool.h"
#include "runtime/rag/postgres/postgres_snapshot.h"
#include "runtime/rag/postgres/schema.h"

namespace rotor::runtime::rag {
namespace {

using Kind = PostgresTransaction::Kind;

constexpr int64_t kWorthSettling = 1000;  // changed chunks
constexpr int64_t kTotalsAtOnce = 256;    // changes after which their rows become one
constexpr size_t kLongestId = 2000;       // bytes that an index takes

bool is_there(PostgresConnection& connection) {
  Query query("SELECT to_regclass(");
  query << query.bind(quoted_name(connection.address().base) + ".base") << ") IS NOT NULL";
  return connection.run(query).bytes(0, 0) == "t";
}

BaseConfig read_config(PostgresConnection& connection) {
  const std::string& name = connection.address().name;
  if (!is_there(connection)) fail(name, ": no such knowledge base; rotor rag add makes one");
  std::map<std::string, std::string> values;
  const PostgresResult rows = connection.run("SELECT name, value FROM base");
  for (int64_t row = 0; row < rows.rows(); ++row) values[rows.text(row, 0)] = rows.text(row, 1);
  const auto number = [&](const std::string& key) {
    const auto value = as_number(values[key]);
    if (!value) fail(name, ": expected a number ", key, " in its table base, found \"", values[key], "\"");
    return static_cast<int64_t>(*value);
  };
  if (const int64_t version = number("version"); version != kPostgresVersion)
    fail(name, ": expected a knowledge base of version ", kPostgresVersion, ", found ", version,
         version > kPostgresVersion ? ": a newer rotor made it" : "");
  return {values["embedder"], number("dimensions"), {number("max_tokens"), number("overlap_tokens")}};
}

void need_pgvector(PostgresConnection& connection) {
  if (connection.run("SELECT 1 FROM pg_extension WHERE extname = 'vector'").rows() > 0) return;
  try {
    connection.run("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public");
  } catch (const LostConnection&) {
    throw;
  } catch (const Error& error) {
    fail(error.what(),
         "; vectors need pgvector: install it on the server (Debian: postgresql-VERSION-pgvector), "
         "and let a superuser run CREATE EXTENSION vector in the database");
  }
}

/// What is put of one kind of row, a column an array.
class Columns {
 public:
  explicit Columns(size_t count) : columns_(count) {}
  void add(std::initializer_list<std::optional<std::string>> row) {
    size_t column = 0;
    for (const auto& value : row) columns_[column++].push_back(value);
  }
  bool empty() const { return columns_.front().empty(); }
  /// "unnest($2::integer[], $3::text[])"
  std::string unnest(Query& query, std::initializer_list<const char*> types) const {
    std::string sql = "unnest(";
    size_t column = 0;
    for (const char* type : types) {
      sql += column == 0 ? "" : ", ";
      sql += query.bind(array_text(columns_[column++])) + "::" + type + "[]";
    }
    return sql + ")";
  }

 private:
  std::vector<std::vector<std::optional<std::string>>> columns_;
};

class PostgresStore : public Store {
 public:
  PostgresStore(const std::string& address, const PostgresOptions& options)
      : options_(options), pool_(address, options) {
    config_ = pool_.use_connection(read_config);
  }

  std::string name() const override { return pool_.address().name; }
  const BaseConfig& config() const override { return config_; }

  std::unique_ptr<Snapshot> snapshot() override {
    return pool_.with_connection([&](std::unique_ptr<PostgresConnection> connection) {
      return postgres_snapshot(
          std::move(connection), config_,
          [this](std::unique_ptr<PostgresConnection> given) { pool_.give_back(std::move(given)); });
    });
  }

  std::vector<std::string> kept_keys(const std::string& document, std::span<const Chunk> chunks) override {
    return pool_.use_connection([&](PostgresConnection& connection) {
      Query query("SELECT c.key, c.id FROM documents d JOIN chunks c ON c.document = d.number WHERE d.id = ");
      query << query.bind(to_utf8(document));
      return kept_of(chunks, read_keys(connection, query));
    });
  }

  bool put(const DocumentRecord& document, std::span<const Chunk> chunks, std::span<const std::string> kept,
           std::span<const float> vectors) override {
    check_vectors(*this, chunks, kept, vectors);
    if (document.id.size() > kLongestId)
      throw DocumentError(cat(name(), ": expected the id of a document of at most ", kLongestId,
                              " bytes, found ", document.id.size(), ": ", document.id.substr(0, 100), "..."));
    const auto work = [&](PostgresConnection& connection) {
      const int64_t number = put_document(connection, document);
      Query query("SELECT key, id FROM chunks WHERE document = ");
      query << query.bind(number);
      ChunkIds old = read_keys(connection, query);
      if (!std::ranges::equal(kept_of(chunks, old), kept)) return false;
      put_fields(connection, number, document);
      move_chunks(connection, chunks, old);
      std::vector<const Chunk*> added;
      std::vector<int64_t> positions;
      for (size_t i = 0; i < chunks.size(); ++i) {
        if (old.erase(chunks[i].key) > 0) continue;
        added.push_back(&chunks[i]);
        positions.push_back(static_cast<int64_t>(i));
      }
      remove_chunks(connection, old);
      add_chunks(connection, number, added, positions, vectors);
      changed_ += std::ssize(added) + std::ssize(old);
      return true;
    };
    try {
      return change(work);
    } catch (const TooLarge& error) {
      throw DocumentError(cat(error.what(), ", in document ", document.id));
    }
  }

  bool remove(const std::string& document) override {
    return change([&](PostgresConnection& connection) {
      Query lock("SELECT number FROM documents WHERE id = ");
      lock << lock.bind(to_utf8(document)) << " FOR UPDATE";
      const PostgresResult found = connection.run(lock);
      if (found.rows() == 0) return false;
      Query query("SELECT key, id FROM chunks WHERE document = ");
      query << query.bind(found.integer(0, 0));
      const ChunkIds old = read_keys(connection, query);
      remove_chunks(connection, old);
      Query gone("DELETE FROM documents WHERE number = ");
      gone << gone.bind(found.integer(0, 0));
      connection.run(gone);
      changed_ += std::ssize(old);
      return true;
    });
  }

  std::map<std::string, std::string> notes(const std::string& prefix) override {
    return pool_.use_connection([&](PostgresConnection& connection) {
      Query query("SELECT name, text FROM notes WHERE starts_with(name, ");
      query << query.bind(to_utf8(prefix)) << ")";
      const PostgresResult rows = connection.run(query);
      std::map<std::string, std::string> found;
      for (int64_t row = 0; row < rows.rows(); ++row) found.emplace(rows.text(row, 0), rows.text(row, 1));
      return found;
    });
  }

  void set_note(const std::string& note, const std::optional<std::string>& text) override {
    pool_.use_connection([&](PostgresConnection& connection) {
      Query query;
      if (text) {
        query << "INSERT INTO notes(name, text) VALUES(" << query.bind(to_utf8(note)) << ", "
              << query.bind(to_utf8(*text)) << ") ON CONFLICT(name) DO UPDATE SET text = excluded.text";
      } else {
        query << "DELETE FROM notes WHERE name = " << query.bind(to_utf8(note));
      }
      connection.run(query);
      return true;
    });
  }

  void settle() override {
    if (changed_ < kWorthSettling) return;
    changed_ = 0;
    try {
      pool_.use_connection([&](PostgresConnection& connection) {
        join_totals(connection);
        // Searches count on it: which rows all can see, and how many there are. The server does it by itself,
        // later.
        connection.run("VACUUM (ANALYZE) documents, fields, chunks, words, totals");
        if (config_.dimensions > 0) connection.run("VACUUM (ANALYZE) vectors");
        return true;
      });
    } catch (const Error& error) {
      if (options_.say)
        options_.say(cat("the base is not tidied up, which costs time alone: ", error.what()));
    }
  }

 private:
  /// A transaction: rolled back if `work` answers false.
  bool change(const std::function<bool(PostgresConnection&)>& work) {
    std::optional<std::string> asked;  // the transaction whose commit got no answer
    return pool_.use_connection([&](PostgresConnection& connection) {
      if (asked && is_committed(connection, *asked)) return true;
      asked.reset();
      PostgresTransaction transaction(connection, Kind::write);
      if (!work(connection)) return false;
      const std::string number(connection.run("SELECT pg_current_xact_id()").bytes(0, 0));
      asked = number;
      transaction.commit();
      if (++changes_ % kTotalsAtOnce == 0) join_totals(connection);
      return true;
    });
  }

  static bool is_committed(PostgresConnection& connection, const std::string& transaction) {
    Query query("SELECT pg_xact_status(");
    query << query.bind(transaction) << "::xid8)";
    const PostgresResult status = connection.run(query);
    const std::string_view text = status.bytes(0, 0);
    // The server may not know yet that nobody waits for it.
    if (text == "in progress")
      throw LostConnection(connection.address().name + ": a lost connection's change has not ended");
    return text == "committed";
  }

  static ChunkIds read_keys(PostgresConnection& connection, const Query& query) {
    const PostgresResult rows = connection.run(query);
    ChunkIds keys;
    for (int64_t row = 0; row < rows.rows(); ++row) keys.emplace(rows.text(row, 0), rows.integer(row, 1));
    return keys;
  }

  /// Its number; whoever else changes the document waits until the transaction's end.
  static int64_t put_document(PostgresConnection& connection, const DocumentRecord& document) {
    Query query("INSERT INTO documents(id, title, source, content, metadata, updated) VALUES(");
    for (const std::string& value :
         {document.id, document.title, document.source, document.content, dump_json(document.metadata)})
      query << query.bind(to_utf8(value)) << ", ";
    query << query.bind(static_cast<int64_t>(std::time(nullptr)))
          << ") ON CONFLICT(id) DO UPDATE SET title = excluded.title, source = excluded.source, content = "
             "excluded.content, metadata = excluded.metadata, updated = excluded.updated RETURNING number";
    return connection.run(query).integer(0, 0);
  }

  static void put_fields(PostgresConnection& connection, int64_t number, const DocumentRecord& document) {
    Query clear("DELETE FROM fields WHERE document = ");
    clear << clear.bind(number);
    connection.run(clear);
    Columns fields(3);
    for (const FieldValue& value :
         field_values(document.id, document.source, document.title, document.metadata)) {
      fields.add({to_utf8(value.field), to_utf8(value.text),
                  value.number ? std::optional(number_text(*value.number)) : std::nullopt});
    }
    Query query("INSERT INTO fields(document, field, text, number) SELECT ");
    query << query.bind(number) << ", f.* FROM " << fields.unnest(query, {"text", "text", "float8"})
          << " AS f";
    connection.run(query);
  }

  /// Those of `chunks` that are `there` get their places.
  static void move_chunks(PostgresConnection& connection, std::span<const Chunk> chunks,
                          const ChunkIds& there) {
    Columns moved(4);
    for (size_t i = 0; i < chunks.size(); ++i) {
      const auto at = there.find(chunks[i].key);
      if (at == there.end()) continue;
      moved.add({std::to_string(at->second), std::to_string(i), std::to_string(chunks[i].place.line),
                 std::to_string(chunks[i].place.page)});
    }
    if (moved.empty()) return;
    Query query("UPDATE chunks c SET position = m.position, line = m.line, page = m.page FROM ");
    query << moved.unnest(query, {"bigint", "integer", "bigint", "bigint"})
          << " AS m(id, position, line, page) WHERE c.id = m.id";
    connection.run(query);
  }

  static void remove_chunks(PostgresConnection& connection, const ChunkIds& old) {
    if (old.empty()) return;
    std::vector<int64_t> ids;
    for (const auto& [key, id] : old) ids.push_back(id);
    Query words("WITH gone AS (DELETE FROM words WHERE chunk = ANY(");
    words << words.bind(array_text(ids))
          << "::bigint[]) RETURNING length) INSERT INTO totals(chunks, words) SELECT -count(*), -sum(length) "
             "FROM gone";
    connection.run(words);
    Query chunks("DELETE FROM chunks WHERE id = ANY(");
    chunks << chunks.bind(array_text(ids)) << "::bigint[])";
    connection.run(chunks);
  }

  void add_chunks(PostgresConnection& connection, int64_t document, std::span<const Chunk* const> added,
                  std::span<const int64_t> positions, std::span<const float> vectors) const {
    if (added.empty()) return;
    Columns rows(7);
    for (size_t i = 0; i < added.size(); ++i) {
      const Chunk& chunk = *added[i];
      rows.add({std::to_string(positions[i]), to_utf8(chunk.key), to_utf8(chunk.heading), to_utf8(chunk.text),
                std::to_string(chunk.place.line), std::to_string(chunk.place.page),
                std::to_string(chunk.tokens)});
    }
    Query query("INSERT INTO chunks(document, position, key, heading, text, line, page, tokens) SELECT ");
    query << query.bind(document) << ", c.* FROM "
          << rows.unnest(query, {"integer", "text", "text", "text", "bigint", "bigint", "bigint"})
          << " AS c(position, key, heading, text, line, page, tokens) ORDER BY c.position RETURNING key, id";
    const ChunkIds ids = read_keys(connection, query);

    Columns words(3);
    Columns its_vectors(2);
    int64_t all_words = 0;
    const auto width = static_cast<size_t>(config_.dimensions);
    for (size_t i = 0; i < added.size(); ++i) {
      const std::string id = std::to_string(ids.at(added[i]->key));
      std::vector<std::string> stems = connection.words().stems(added[i]->heading);
      const std::vector<std::string> of_text = connection.words().stems(added[i]->text);
      stems.insert(stems.end(), of_text.begin(), of_text.end());
      words.add({id, std::to_string(stems.size()), tsvector_text(stems)});
      all_words += std::ssize(stems);
      if (width > 0) its_vectors.add({id, vector_text(vectors.subspan(i * width, width))});
    }
    Query put_words("INSERT INTO words(chunk, length, words) SELECT * FROM ");
    put_words << words.unnest(put_words, {"bigint", "integer", "tsvector"});
    connection.run(put_words);
    Query totals("INSERT INTO totals(chunks, words) VALUES(");
    totals << totals.bind(std::ssize(added)) << ", " << totals.bind(all_words) << ")";
    connection.run(totals);
    if (width == 0) return;
    Query put_vectors("INSERT INTO vectors(chunk, vector) SELECT * FROM ");
    put_vectors << its_vectors.unnest(put_vectors, {"bigint", "vector"});
    connection.run(put_vectors);
  }

  /// One row for all that nobody else holds.
  static void join_totals(PostgresConnection& connection) {
    connection.run(
        "WITH gone AS (DELETE FROM totals WHERE id IN (SELECT id FROM totals FOR UPDATE SKIP LOCKED) "
        "RETURNING chunks, "
        "words) INSERT INTO totals(chunks, words) SELECT sum(chunks), sum(words) FROM gone HAVING count(*) > "
        "0");
  }

  const PostgresOptions options_;
  PostgresPool pool_;
  BaseConfig config_;
  std::atomic<int64_t> changes_ = 0;  // by this store
  std::atomic<int64_t> changed_ = 0;  // chunks, since the base was tidied up
};

}  // namespace

bool has_postgres_store(const std::string& address, const PostgresOptions& options) {
  return PostgresPool(address, options).use_connection(is_there);
}

void create_postgres_store(const std::string& address, const BaseConfig& config,
                           const PostgresOptions& options) {
  config.chunks.validate();
  PostgresPool pool(address, options);
  if (config.dimensions > 0) {
    // In a connection of its own: the next one knows in which schema its types are.
    pool.with_connection([](std::unique_ptr<PostgresConnection> connection) {
      need_pgvector(*connection);
      return true;
    });
  }
  pool.use_connection([&](PostgresConnection& connection) {
    if (is_there(connection)) fail(pool.address().name, ": a knowledge base of that name exists already");
    PostgresTransaction transaction(connection, Kind::write);
    connection.run("CREATE SCHEMA " + quoted_name(pool.address().base));
    connection.run_all(kPostgresSchema);
    if (config.dimensions > 0) connection.run(postgres_vector_table(config.dimensions));
    Columns values(2);
    values.add({"version", std::to_string(kPostgresVersion)});
    values.add({"embedder", to_utf8(config.embedder)});
    values.add({"dimensions", std::to_string(config.dimensions)});
    values.add({"max_tokens", std::to_string(config.chunks.max_tokens)});
    values.add({"overlap_tokens", std::to_string(config.chunks.overlap_tokens)});
    Query query("INSERT INTO base(name, value) SELECT * FROM ");
    query << values.unnest(query, {"text", "text"});
    connection.run(query);
    transaction.commit();
    return true;
  });
}

std::unique_ptr<Store> open_postgres_store(const std::string& address, const PostgresOptions& options) {
  return std::make_unique<PostgresStore>(address, options);
}

}  // namespace rotor::runtime::rag
