#include "runtime/rag/sqlite/sqlite_store.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <map>
#include <mutex>
#include <random>
#include <utility>

#include "rotor/core/error.h"
#include "runtime/rag/connection_pool.h"
#include "runtime/rag/sqlite/schema.h"
#include "runtime/rag/sqlite/sqlite_snapshot.h"
#include "runtime/rag/words.h"

namespace rotor::runtime::rag {
namespace {

constexpr int64_t kWorthSaving = 1000;  // vectors that the index's file lacks or has too many

/// A name of 16 characters that no other base has.
std::string new_base_id() {
  std::random_device random;
  char text[17];
  std::snprintf(text, sizeof(text), "%08x%08x", static_cast<unsigned>(random()),
                static_cast<unsigned>(random()));
  return text;
}

BaseConfig read_config(Connection& connection) {
  BaseConfig config;
  config.embedder = connection.base_text("embedder");
  config.dimensions = connection.base_number("dimensions");
  config.chunks = {connection.base_number("max_tokens"), connection.base_number("overlap_tokens")};
  return config;
}

void check_version(Connection& connection) {
  const auto number = [&](const char* pragma) {
    Statement& read = connection.statement(pragma);
    const int64_t value = read.step() ? read.integer(0) : 0;
    read.reset();
    return value;
  };
  const std::string& path = connection.database().path();
  if (number("PRAGMA application_id") != kApplicationId)
    fail(path, ": this is a SQLite database, but no knowledge base that rotor rag made");
  if (const int64_t version = number("PRAGMA user_version"); version != kSchemaVersion)
    fail(path, ": expected a knowledge base of version ", kSchemaVersion, ", found ", version,
         version > kSchemaVersion ? ": a newer rotor made it" : "");
}

class SqliteStore : public Store {
 public:
  SqliteStore(const std::string& path, const SqliteOptions& options)
      : path_(path), options_(options), writer_(path) {
    check_version(writer_);
    config_ = read_config(writer_);
    base_id_ = writer_.base_text("id");
  }

  std::string name() const override { return path_; }
  const BaseConfig& config() const override { return config_; }

  std::unique_ptr<Snapshot> snapshot() override {
    SnapshotParts parts = begin();
    if (config_.dimensions > 0) {
      // Within the lock, so that the index is never of a later state than the transaction.
      const std::lock_guard lock(index_mutex_);
      catch_up(*parts.connection);
      parts.index = index_;
    }
    return as_snapshot(std::move(parts));
  }

  std::unique_ptr<Snapshot> records() override { return as_snapshot(begin()); }

  std::vector<std::string> kept_keys(const std::string& document, std::span<const Chunk> chunks) override {
    auto connection = pool_.take(path_);
    const ChunkIds there = keys_of(*connection, connection->document_number(document));
    pool_.give_back(std::move(connection));
    return kept_of(chunks, there);
  }

  bool put(const DocumentRecord& document, std::span<const Chunk> chunks, std::span<const std::string> kept,
           std::span<const float> vectors) override {
    check_vectors(*this, chunks, kept, vectors);
    const std::lock_guard lock(write_mutex_);
    Transaction transaction(writer_.database(), Transaction::Kind::write);
    int64_t number = writer_.document_number(document.id);
    ChunkIds old = keys_of(writer_, number);
    if (!std::ranges::equal(kept_of(chunks, old), kept)) return false;
    const auto width = static_cast<size_t>(config_.dimensions);
    const int64_t generation = next_generation();
    number = put_document(number, document);
    int64_t position = 0;
    for (const Chunk& chunk : chunks) {
      if (!old.contains(chunk.key)) {
        add_chunk(number, position, chunk, vectors.first(width), generation);
        vectors = vectors.subspan(width);
      } else {
        writer_.statement("UPDATE chunks SET position = ?, line = ?, page = ? WHERE id = ?")
            .bind(position, chunk.place.line, chunk.place.page, old.at(chunk.key))
            .run();
        old.erase(chunk.key);
      }
      ++position;
    }
    for (const auto& [key, id] : old) remove_chunk(id, generation);
    transaction.commit();
    return true;
  }

  bool remove(const std::string& document) override {
    const std::lock_guard lock(write_mutex_);
    Transaction transaction(writer_.database(), Transaction::Kind::write);
    const int64_t number = writer_.document_number(document);
    if (number == 0) return false;
    const int64_t generation = next_generation();
    for (const auto& [key, id] : keys_of(writer_, number)) remove_chunk(id, generation);
    writer_.statement("DELETE FROM fields WHERE document = ?").bind(number).run();
    writer_.statement("DELETE FROM documents WHERE number = ?").bind(number).run();
    transaction.commit();
    return true;
  }

  std::map<std::string, std::string> notes(const std::string& prefix) override {
    auto connection = pool_.take(path_);
    Statement& read =
        connection->statement("SELECT name, text FROM notes WHERE substr(name, 1, length(?)) = ?")
            .bind(prefix, prefix);
    std::map<std::string, std::string> found;
    while (read.step()) found.emplace(read.text(0), read.text(1));
    read.reset();
    pool_.give_back(std::move(connection));
    return found;
  }

  void set_note(const std::string& name, const std::optional<std::string>& text) override {
    const std::lock_guard lock(write_mutex_);
    if (text) {
      writer_.statement("INSERT OR REPLACE INTO notes(name, text) VALUES(?, ?)").bind(name, *text).run();
    } else {
      writer_.statement("DELETE FROM notes WHERE name = ?").bind(name).run();
    }
  }

  void settle() override {
    if (config_.dimensions == 0) return;
    snapshot();  // the index catches up
    IndexState state{base_id_, 0};
    {
      const std::lock_guard lock(index_mutex_);
      if (not_saved_ < kWorthSaving) return;
      state.generation = index_generation_;
      try {
        index_->save(index_path(), state);
      } catch (const Error& error) {
        return say(cat("the index is not kept, and will be made anew at the next opening: ", error.what()));
      }
      not_saved_ = 0;
    }
    const std::lock_guard lock(write_mutex_);
    Transaction transaction(writer_.database(), Transaction::Kind::write);
    writer_.statement("DELETE FROM removed WHERE generation <= ?").bind(state.generation).run();
    writer_.statement("UPDATE base SET value = ? WHERE name = 'trimmed'").bind(state.generation).run();
    transaction.commit();
  }

 private:
  std::string index_path() const { return path_ + ".vectors"; }
  void say(const std::string& message) const {
    if (options_.say) options_.say(message);
  }

  SnapshotParts begin() {
    SnapshotParts parts{pool_.take(path_), counts_, nullptr};
    parts.connection->database().execute("BEGIN");
    return parts;
  }
  std::unique_ptr<Snapshot> as_snapshot(SnapshotParts parts) {
    return sqlite_snapshot(std::move(parts), [this](SnapshotParts given) {
      {
        const std::lock_guard lock(index_mutex_);
        given.index.reset();
      }
      pool_.give_back(std::move(given.connection));
    });
  }

  static ChunkIds keys_of(Connection& connection, int64_t document) {
    ChunkIds keys;
    Statement& read = connection.statement("SELECT key, id FROM chunks WHERE document = ?").bind(document);
    while (read.step()) keys.emplace(read.text(0), read.integer(1));
    read.reset();
    return keys;
  }

  int64_t next_generation() {
    writer_.statement("UPDATE base SET value = value + 1 WHERE name = 'generation'").run();
    return writer_.base_number("generation");
  }

  /// `number`: 0 for a new one. Returns its number.
  int64_t put_document(int64_t number, const DocumentRecord& document) {
    const std::string metadata = dump_json(document.metadata);
    const auto now = static_cast<int64_t>(std::time(nullptr));
    if (number == 0) {
      writer_
          .statement(
              "INSERT INTO documents(id, title, source, content, metadata, updated) VALUES(?, ?, ?, ?, ?, ?)")
          .bind(document.id, document.title, document.source, document.content, metadata, now)
          .run();
      number = writer_.database().last_id();
    } else {
      writer_
          .statement(
              "UPDATE documents SET title = ?, source = ?, content = ?, metadata = ?, updated = ? WHERE "
              "number = ?")
          .bind(document.title, document.source, document.content, metadata, now, number)
          .run();
      writer_.statement("DELETE FROM fields WHERE document = ?").bind(number).run();
    }
    for (const FieldValue& value :
         field_values(document.id, document.source, document.title, document.metadata)) {
      Statement& add =
          writer_.statement("INSERT INTO fields(document, field, text, number) VALUES(?, ?, ?, ?)");
      add.bind(number, value.field, value.text);
      value.number ? add.bind_one(4, *value.number) : add.bind_one(4, nullptr);
      add.run();
    }
    return number;
  }

  void add_chunk(int64_t document, int64_t position, const Chunk& chunk, std::span<const float> vector,
                 int64_t generation) {
    writer_
        .statement(
            "INSERT INTO chunks(document, position, key, heading, text, line, page, tokens, generation)"
            " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(document, position, chunk.key, chunk.heading, chunk.text, chunk.place.line, chunk.place.page,
              chunk.tokens, generation)
        .run();
    const int64_t id = writer_.database().last_id();
    writer_.statement("INSERT INTO words(rowid, heading, text) VALUES(?, ?, ?)")
        .bind(id, chunk.heading, chunk.text)
        .run();
    if (vector.empty()) return;
    const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(vector.data()),
                                         vector.size_bytes());
    writer_.statement("INSERT INTO vectors(chunk, vector) VALUES(?, ?)").bind(id, bytes).run();
  }

  void remove_chunk(int64_t id, int64_t generation) {
    // The table of words takes its texts from that of chunks: it is told them while they are still there.
    writer_
        .statement(
            "INSERT INTO words(words, rowid, heading, text) SELECT 'delete', id, heading, text FROM chunks"
            " WHERE id = ?")
        .bind(id)
        .run();
    writer_.statement("DELETE FROM chunks WHERE id = ?").bind(id).run();
    if (config_.dimensions == 0) return;
    writer_.statement("DELETE FROM vectors WHERE chunk = ?").bind(id).run();
    writer_.statement("INSERT INTO removed(chunk, generation) VALUES(?, ?)").bind(id, generation).run();
  }

  /// Brings the index to the state that `connection`, which is in a transaction, sees.
  void catch_up(Connection& connection) {
    const int64_t generation = connection.base_number("generation");
    if (index_ == nullptr) load_index(connection, generation);
    if (index_generation_ == generation) return;
    if (index_.use_count() > 1)
      index_ = std::make_shared<VectorIndex>(*index_);  // a snapshot keeps the old one
    try {
      remove_vectors(connection);
      add_vectors(connection);
      index_generation_ = generation;
    } catch (...) {
      index_.reset();  // it may have some of the changes
      throw;
    }
  }

  /// From the file, if it is of use, else an empty one of generation 0, which has everything before it.
  void load_index(Connection& connection, int64_t generation) {
    index_ = std::make_shared<VectorIndex>(config_.dimensions);
    index_generation_ = 0;
    if (!std::filesystem::exists(index_path())) return;
    std::string reason;
    try {
      const IndexState state = index_->load(index_path());
      const bool suits = state.base == base_id_ && state.generation <= generation &&
                         state.generation >= connection.base_number("trimmed");
      if (suits) {
        index_generation_ = state.generation;
        return;
      }
      reason = index_path() + ": it is of another base, or of another time";
    } catch (const Error& error) {
      reason = error.what();
    }
    say(cat("the vector index is made anew from the base: ", reason));
    index_ = std::make_shared<VectorIndex>(config_.dimensions);
    not_saved_ = kWorthSaving;
  }

  /// Those that went since the index's generation.
  void remove_vectors(Connection& connection) {
    Statement& read =
        connection.statement("SELECT chunk FROM removed WHERE generation > ?").bind(index_generation_);
    std::vector<int64_t> ids;
    while (read.step()) ids.push_back(read.integer(0));
    read.reset();
    index_->remove(ids);
    not_saved_ += std::ssize(ids);
  }

  /// Those that came.
  void add_vectors(Connection& connection) {
    constexpr size_t kAtOnce = 4096;
    const auto width = static_cast<size_t>(config_.dimensions);
    std::vector<int64_t> ids;
    std::vector<float> values;
    const auto flush = [&] {
      index_->add(ids, values);
      not_saved_ += std::ssize(ids);
      ids.clear();
      values.clear();
    };
    Statement& read = connection
                          .statement(
                              "SELECT v.chunk, v.vector FROM chunks c JOIN vectors v ON v.chunk = c.id"
                              " WHERE c.generation > ? ORDER BY v.chunk")
                          .bind(index_generation_);
    while (read.step()) {
      const auto bytes = read.bytes(1);
      if (bytes.size() != width * sizeof(float)) {
        fail(path_, ": chunk ", read.integer(0), ": expected a vector of ", width, " numbers, found ",
             bytes.size(), " bytes");
      }
      ids.push_back(read.integer(0));
      values.resize(values.size() + width);
      std::memcpy(values.data() + values.size() - width, bytes.data(), bytes.size());
      if (ids.size() == kAtOnce) flush();
    }
    read.reset();
    flush();
  }

  const std::string path_;
  const SqliteOptions options_;
  BaseConfig config_;
  std::string base_id_;
  std::mutex write_mutex_;
  Connection writer_;
  ConnectionPool<Connection> pool_;
  const std::shared_ptr<WordCounts> counts_ = std::make_shared<WordCounts>();
  std::mutex index_mutex_;
  std::shared_ptr<VectorIndex> index_;  // nullptr: not needed yet
  int64_t index_generation_ = 0;
  int64_t not_saved_ = 0;  // changes that the index's file does not have
};

}  // namespace

void create_sqlite_store(const std::string& path, const BaseConfig& config) {
  config.chunks.validate();
  const std::string temporary = cat(path, ".", getpid(), ".new");
  std::filesystem::remove(temporary);
  try {
    Connection connection(temporary, Database::Mode::create);
    Database& database = connection.database();
    database.execute(
        cat("PRAGMA application_id = ", kApplicationId, "; PRAGMA user_version = ", kSchemaVersion));
    Transaction transaction(database, Transaction::Kind::write);
    database.execute(kSchema);
    database.execute(
        cat("CREATE VIRTUAL TABLE words USING fts5(heading, text, content='chunks', content_rowid='id',"
            " tokenize='",
            kWordTokenizer, "'); CREATE VIRTUAL TABLE word_counts USING fts5vocab(words, 'row')"));
    const auto set = [&](const char* name, const auto& value) {
      connection.statement("INSERT INTO base(name, value) VALUES(?, ?)")
          .bind(std::string_view(name), value)
          .run();
    };
    set("id", std::string_view(new_base_id()));
    set("embedder", std::string_view(config.embedder));
    set("dimensions", config.dimensions);
    set("max_tokens", config.chunks.max_tokens);
    set("overlap_tokens", config.chunks.overlap_tokens);
    set("generation", int64_t{0});
    set("trimmed", int64_t{0});
    transaction.commit();
  } catch (...) {
    std::filesystem::remove(temporary);
    throw;
  }
  // A link, unlike a rename, does not take the place of a file.
  const bool linked = link(temporary.c_str(), path.c_str()) == 0;
  const std::string reason = std::strerror(errno);
  std::filesystem::remove(temporary);
  if (!linked) fail(path, ": cannot make a knowledge base here: ", reason);
}

std::unique_ptr<Store> open_sqlite_store(const std::string& path, const SqliteOptions& options) {
  if (!std::filesystem::exists(path)) fail(path, ": no such knowledge base; rotor rag add makes one");
  return std::make_unique<SqliteStore>(path, options);
}

}  // namespace rotor::runtime::rag
