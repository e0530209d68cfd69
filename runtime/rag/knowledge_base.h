// A store with what fills it: documents come in, are cut into chunks and embedded, and only what changed is
// done again.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/rag/embedder.h"
#include "runtime/rag/search.h"
#include "runtime/rag/store.h"

namespace rotor::runtime::rag {

enum class PutResult { added, updated, unchanged };

/// Used by several threads at once.
class KnowledgeBase {
 public:
  /// `embedder`: nullptr for a base that is searched by words alone. Throws Error if the base's vectors come
  /// from another one.
  KnowledgeBase(std::shared_ptr<Store> store, std::shared_ptr<Embedder> embedder);

  Store& store() const { return *store_; }

  /// Puts a document in place of that with its id; chunks that it had before keep their vectors. Throws
  /// Error, and leaves the old one, also if `keep_going` says false.
  PutResult put(const Document& document, const std::function<bool()>& keep_going = {});
  bool remove(const std::string& document) { return store_->remove(document); }
  /// Throws Error for an empty query.
  std::vector<Found> search(const std::string& query, const SearchOptions& options) const;

 private:
  std::vector<Chunk> cut(const Document& document) const;

  std::shared_ptr<Store> store_;
  std::shared_ptr<Embedder> embedder_;
};

/// Checksum of all of a document that a base keeps.
std::string content_of(const Document& document);

}  // namespace rotor::runtime::rag
