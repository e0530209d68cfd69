// A finder whose knowledge base follows files and folders while it is searched.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/rag/files/watcher.h"
#include "runtime/rag/knowledge_base.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::retrieval {

/// What changes below its paths is in the base moments later, until this object ends.
class FollowingFinder final : public SourceFinder {
 public:
  /// `finder` searches `base`. A path that the base knows is read as it was added. Throws Error as
  /// rag::Watcher does.
  FollowingFinder(std::shared_ptr<rag::KnowledgeBase> base, std::shared_ptr<const SourceFinder> finder,
                  const std::vector<std::string>& paths, rag::WatcherOptions options);

  Retrieval retrieve(const RetrievalRequest& request) const override { return finder_->retrieve(request); }
  void check(const RetrievalOptions& options) const override { finder_->check(options); }

 private:
  std::shared_ptr<rag::KnowledgeBase> base_;
  std::shared_ptr<const SourceFinder> finder_;
  rag::Watcher watcher_;
};

}  // namespace rotor::runtime::retrieval
