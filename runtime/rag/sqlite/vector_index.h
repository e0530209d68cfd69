// The vectors of a base in memory: a flat index of FAISS, whose exact products are computed for those rows
// only that a copy in int8 does not rule out (row_screen.h). It is a copy: SQLite has them all, and what is
// missing here or damaged on disk is read from there (sqlite_store.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/rag/sqlite/row_screen.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

/// Which base an index belongs to, and which of its states it shows.
struct IndexState {
  std::string base;  ///< 16 characters that a base gets when it is made
  int64_t generation = 0;
};

/// Used by several threads that search, or by one that changes it.
class VectorIndex {
 public:
  explicit VectorIndex(int64_t dimensions);
  ~VectorIndex();
  VectorIndex(const VectorIndex& other);
  VectorIndex& operator=(const VectorIndex&) = delete;

  int64_t dimensions() const;
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }

  /// `ids` ascend, each above those that are there; `vectors`: [ids, dimensions].
  void add(std::span<const int64_t> ids, std::span<const float> vectors);
  /// Those of `ids`, in any order, that are there.
  void remove(std::span<const int64_t> ids);
  /// The `count` with the largest inner product with `vector` [dimensions], in order. `among`: only these,
  /// ascending.
  std::vector<Hit> search(std::span<const float> vector, int64_t count) const;
  std::vector<Hit> search(std::span<const float> vector, int64_t count, std::span<const int64_t> among) const;

  /// Writes it whole or not at all. Throws Error.
  void save(const std::string& path, const IndexState& state) const;
  /// Into an empty index. Throws Error naming what is wrong with the file: no index, damaged, of other
  /// dimensions.
  IndexState load(const std::string& path);

 private:
  std::vector<Hit> best_of(std::span<const int32_t> rows, std::span<const float> vector, int64_t count) const;

  struct Faiss;
  std::unique_ptr<Faiss> faiss_;
  RowScreen screen_;
  std::vector<int64_t> ids_;  // of the rows, ascending
};

}  // namespace rotor::runtime::rag
