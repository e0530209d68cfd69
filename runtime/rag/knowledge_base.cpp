#include "runtime/rag/knowledge_base.h"

#include <algorithm>
#include <set>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"

namespace rotor::runtime::rag {

KnowledgeBase::KnowledgeBase(std::shared_ptr<Store> store, std::shared_ptr<Embedder> embedder)
    : store_(std::move(store)), embedder_(std::move(embedder)) {
  const BaseConfig& config = store_->config();
  const std::string given = embedder_ == nullptr ? "" : embedder_->id();
  if (given == config.embedder) {
    const int64_t dimensions = embedder_ == nullptr ? 0 : embedder_->dimensions();
    if (dimensions == config.dimensions) return;
    fail(store_->name(), ": expected vectors of ", config.dimensions, " numbers, found ", dimensions);
  }
  const auto described = [](const std::string& id) {
    return id.empty() ? std::string("none (words alone)") : id;
  };
  fail(store_->name(), ": vectors of this base come from ", described(config.embedder),
       "; expected that one, found ", described(given), ": vectors of two models cannot be compared");
}

std::vector<Chunk> KnowledgeBase::cut(const Document& document) const {
  const CountTokens count = embedder_ == nullptr
                                ? CountTokens(estimate_tokens)
                                : [this](std::string_view text) { return embedder_->count_tokens(text); };
  return make_chunks(document, store_->config().chunks, count);
}

PutResult KnowledgeBase::put(const Document& document, const std::function<bool()>& keep_going) {
  DocumentRecord record{
      document.id, document.title, document.source, content_of(document), document.metadata, 0, 0};
  const auto before = store_->records()->document(document.id);
  if (before && before->content == record.content) return PutResult::unchanged;
  const std::vector<Chunk> chunks = cut(document);
  for (int tries = 0; tries < 10; ++tries) {
    const std::vector<std::string> kept = store_->kept_keys(document.id, chunks);
    const std::set<std::string> has_vector(kept.begin(), kept.end());
    std::vector<std::string> texts;
    for (const Chunk& chunk : chunks) {
      if (!has_vector.contains(chunk.key)) texts.push_back(full_text(chunk));
    }
    std::vector<float> vectors;
    if (embedder_ != nullptr && !texts.empty()) vectors = embedder_->embed(texts, keep_going);
    if (store_->put(record, chunks, kept, vectors)) return before ? PutResult::updated : PutResult::added;
  }
  fail(store_->name(), ": ", document.id, ": another program changes this document all the time");
}

std::vector<Found> KnowledgeBase::search(const std::string& query, const SearchOptions& options) const {
  if (query.empty()) fail("search: expected a query, found an empty text");
  std::vector<float> vector;
  if (embedder_ != nullptr && options.mode != SearchMode::words)
    vector = embedder_->embed(std::vector<std::string>{query}, {});
  if (embedder_ == nullptr && options.mode == SearchMode::vectors)
    fail(store_->name(), ": this base has no vectors; search it by words");
  return rag::search(*store_->snapshot(), query, vector, options);
}

std::string content_of(const Document& document) {
  Json all = Json::array({document.title, document.source, document.metadata});
  for (const Block& block : document.blocks) {
    all.push_back(Json::array({static_cast<int>(block.kind), block.level, block.text}));
  }
  const std::string text = dump_json(all);
  return checksum({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace rotor::runtime::rag
