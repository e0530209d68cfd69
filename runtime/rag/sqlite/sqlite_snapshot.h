// One state of a SQLite base, read in one transaction.
#pragma once

#include <functional>
#include <memory>

#include "runtime/rag/sqlite/connection.h"
#include "runtime/rag/sqlite/vector_index.h"
#include "runtime/rag/sqlite/word_counts.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

/// What a snapshot holds while it lives.
struct SnapshotParts {
  std::unique_ptr<Connection> connection;
  std::shared_ptr<WordCounts> counts;        ///< of the base
  std::shared_ptr<const VectorIndex> index;  ///< of the same state; nullptr: the base has no vectors
};

/// `parts.connection` is in a read transaction already; `give_back` gets the parts in the end, out of it.
std::unique_ptr<Snapshot> sqlite_snapshot(SnapshotParts parts, std::function<void(SnapshotParts)> give_back);

}  // namespace rotor::runtime::rag
