#include "runtime/retrieval/following_finder.h"

#include <utility>

namespace rotor::runtime::retrieval {
namespace {

std::vector<rag::Origin> origins_of(rag::Store& store, const std::vector<std::string>& paths) {
  const std::vector<rag::Origin> all = rag::origins(store);
  std::vector<rag::Origin> origins;
  for (const std::string& path : paths) {
    rag::Origin origin{rag::absolute_path(path), std::nullopt, "", Json::object()};
    for (const rag::Origin& known : all) {
      if (known.path == origin.path) origin = known;
    }
    origins.push_back(std::move(origin));
  }
  return origins;
}

}  // namespace

FollowingFinder::FollowingFinder(std::shared_ptr<rag::KnowledgeBase> base,
                                 std::shared_ptr<const SourceFinder> finder,
                                 const std::vector<std::string>& paths, rag::WatcherOptions options)
    : base_(std::move(base)),
      finder_(std::move(finder)),
      watcher_(*base_, origins_of(base_->store(), paths), std::move(options)) {}

}  // namespace rotor::runtime::retrieval
