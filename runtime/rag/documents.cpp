#include "runtime/rag/documents.h"

namespace rotor::runtime::rag {
namespace {

constexpr int64_t kAtOnce = 1000;

using List = std::function<std::vector<DocumentRecord>(const std::string& after)>;

void for_each_listed(const List& list, const OnRecord& on_document) {
  std::string after;
  for (;;) {
    const std::vector<DocumentRecord> listed = list(after);
    for (const DocumentRecord& document : listed) {
      if (!on_document(document)) return;
    }
    if (std::ssize(listed) < kAtOnce) return;
    after = listed.back().id;
  }
}

}  // namespace

void for_each_document(Snapshot& snapshot, const Filter& filter, const OnRecord& on_document) {
  for_each_listed([&](const std::string& after) { return snapshot.documents(filter, after, kAtOnce); },
                  on_document);
}

void for_each_document(Store& store, const Filter& filter, const OnRecord& on_document) {
  for_each_listed(
      [&](const std::string& after) { return store.records()->documents(filter, after, kAtOnce); },
      on_document);
}

}  // namespace rotor::runtime::rag
