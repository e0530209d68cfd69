// Where a knowledge base lies: documents and their chunks, found by words and by vectors. SQLite with a FAISS
// index beside it is one (sqlite/), PostgreSQL with pgvector another; both give the same results but for
// ties. A store knows nothing of files, models or prompts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "runtime/rag/chunker.h"
#include "runtime/rag/document.h"
#include "runtime/rag/filter.h"

namespace rotor::runtime::rag {

/// What is decided when a base is made, and holds for all in it.
struct BaseConfig {
  std::string
      embedder;  ///< what its vectors come from (embedder.h); "": it has none, and is searched by words alone
  int64_t dimensions = 0;
  ChunkOptions chunks;
};

/// A document as the store keeps it, without its text.
struct DocumentRecord {
  std::string id;
  std::string title;
  std::string source;
  std::string content;  ///< checksum of what it was made from: the same, and nothing needs to be done
  Json metadata = Json::object();
  int64_t chunks = 0;   ///< only of those that the store returns
  int64_t updated = 0;  ///< seconds since 1970; likewise
};

struct StoredChunk {
  int64_t id = 0;  ///< of the store; a chunk that changes gets a new one
  Chunk chunk;
  DocumentRecord document;
};

struct Hit {
  int64_t chunk = 0;
  double score = 0.0;  ///< higher is better; comparable within one search alone
};

struct StoreStatistics {
  int64_t documents = 0;
  int64_t chunks = 0;
  int64_t bytes = 0;  ///< on disk
};

/// One state of the base, whatever others change meanwhile. Used by one thread, and gone before its store is.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  /// The `count` chunks with the highest BM25 of `query`'s words, which need not all be there.
  virtual std::vector<Hit> match_words(const std::string& query, int64_t count, const Filter& filter) = 0;
  /// Those with the largest inner product with `vector` [dimensions].
  virtual std::vector<Hit> match_vector(std::span<const float> vector, int64_t count,
                                        const Filter& filter) = 0;
  /// In the order of `ids`; throws Error for one that is not there.
  virtual std::vector<StoredChunk> chunks(std::span<const int64_t> ids) = 0;
  /// [ids, dimensions], of chunks that are there.
  virtual std::vector<float> vectors(std::span<const int64_t> ids) = 0;
  virtual std::optional<DocumentRecord> document(const std::string& id) = 0;
  /// By id, those behind `after`, at most `count`.
  virtual std::vector<DocumentRecord> documents(const Filter& filter, const std::string& after,
                                                int64_t count) = 0;
  /// A document's, from its beginning to its end.
  virtual std::vector<StoredChunk> chunks_of(const std::string& document) = 0;
  virtual StoreStatistics statistics() = 0;
};

/// A document that this store cannot hold; others it can.
class DocumentError : public Error {
 public:
  using Error::Error;
};

/// Used by several threads at once.
class Store {
 public:
  virtual ~Store() = default;

  /// "notes.db", "postgresql://host/notes": for messages.
  virtual std::string name() const = 0;
  virtual const BaseConfig& config() const = 0;
  virtual std::unique_ptr<Snapshot> snapshot() = 0;
  /// The same for what does not search: cheaper where vectors are kept in memory.
  virtual std::unique_ptr<Snapshot> records() { return snapshot(); }

  /// The keys of a document's chunks that are there already: they keep their vectors.
  virtual std::vector<std::string> kept_keys(const std::string& document, std::span<const Chunk> chunks) = 0;
  /// Puts a document in place of that with its id, in one step: whoever searches meanwhile finds all of the
  /// old one or all of the new one. `kept`: what kept_keys() answered; `vectors`: [other chunks, dimensions],
  /// in order. False, and nothing is done, if kept_keys() answers otherwise by now. Throws DocumentError,
  /// Error.
  virtual bool put(const DocumentRecord& document, std::span<const Chunk> chunks,
                   std::span<const std::string> kept, std::span<const float> vectors) = 0;
  /// False if it is not there.
  virtual bool remove(const std::string& document) = 0;
  /// Texts that those who use the base keep in it, by name: those whose names begin with `prefix`.
  virtual std::map<std::string, std::string> notes(const std::string& prefix) = 0;
  /// Nothing: removes it.
  virtual void set_note(const std::string& name, const std::optional<std::string>& text) = 0;
  /// Does what makes the next opening fast; to be called after many changes.
  virtual void settle() = 0;
};

/// The store's numbers of a document's chunks, by their keys.
using ChunkIds = std::map<std::string, int64_t>;

/// For stores: the keys of those of `chunks` that are `there`, in order.
std::vector<std::string> kept_of(std::span<const Chunk> chunks, const ChunkIds& there);
/// The sum of products, in double.
double inner_product(std::span<const float> a, std::span<const float> b);
/// For stores: the `count` with the highest scores, in order, of equal ones the older first.
void keep_best(std::vector<Hit>& hits, int64_t count);
/// For stores: throws Error unless `vectors` are those of the chunks whose keys are not `kept`.
void check_vectors(const Store& store, std::span<const Chunk> chunks, std::span<const std::string> kept,
                   std::span<const float> vectors);

}  // namespace rotor::runtime::rag
