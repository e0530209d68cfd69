#include "runtime/rag/store.h"

#include <algorithm>

#include "rotor/core/error.h"

namespace rotor::runtime::rag {

std::vector<std::string> kept_of(std::span<const Chunk> chunks, const ChunkIds& there) {
  std::vector<std::string> kept;
  for (const Chunk& chunk : chunks) {
    if (there.contains(chunk.key)) kept.push_back(chunk.key);
  }
  return kept;
}

double inner_product(std::span<const float> a, std::span<const float> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

void keep_best(std::vector<Hit>& hits, int64_t count) {
  const auto kept = static_cast<size_t>(std::clamp<int64_t>(count, 0, std::ssize(hits)));
  std::ranges::partial_sort(hits, hits.begin() + static_cast<ptrdiff_t>(kept),
                            [](const Hit& a, const Hit& b) {
                              return a.score > b.score || (a.score == b.score && a.chunk < b.chunk);
                            });
  hits.resize(kept);
}

void check_vectors(const Store& store, std::span<const Chunk> chunks, std::span<const std::string> kept,
                   std::span<const float> vectors) {
  const size_t wanted = (chunks.size() - kept.size()) * static_cast<size_t>(store.config().dimensions);
  if (kept.size() <= chunks.size() && vectors.size() == wanted) return;
  fail(store.name(), ": expected vectors of ", chunks.size() - kept.size(), " chunks, ",
       store.config().dimensions, " numbers each, found ", vectors.size(), " numbers");
}

}  // namespace rotor::runtime::rag
