// Pages are found by a hash, and then compared, so that no text ever gets another one's page.
#include "runtime/engine/kv_pages.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"

namespace rotor::runtime {
namespace {

constexpr size_t kMostRoots = 64;  // clients may think of any number of weights for adapters

uint64_t hash_of(KvPages::Prefix prefix, std::span<const text::TokenId> tokens) {
  uint64_t hash = prefix;
  for (const text::TokenId id : tokens) hash = mix_seed(hash, static_cast<uint64_t>(id));
  return hash;
}

}  // namespace

KvPages::KvPages(int64_t count, int64_t page_tokens, bool keep)
    : page_tokens_(page_tokens), keep_(keep), pages_(static_cast<size_t>(count)) {
  for (auto page = static_cast<int32_t>(count); page-- > 0;) free_.push_back(page);
}

KvPages::Prefix KvPages::root(const std::vector<ActiveAdapter>& adapters) {
  const auto found = std::ranges::find(roots_, adapters, &Root::adapters);
  if (found != roots_.end()) {
    std::rotate(found, found + 1, roots_.end());
    return roots_.back().prefix;
  }
  if (roots_.size() == kMostRoots) roots_.erase(roots_.begin());
  roots_.push_back({adapters, ++last_prefix_});
  return last_prefix_;
}

std::optional<int32_t> KvPages::take() {
  int32_t page = -1;
  if (!free_.empty()) {
    page = free_.back();
    free_.pop_back();
  } else if (!unused_.empty()) {
    page = unused_.begin()->second;
    unused_.erase(unused_.begin());
    make_unfindable(page);
  } else {
    return std::nullopt;
  }
  at(page).users = 1;
  return page;
}

int32_t KvPages::lookup(Prefix prefix, uint64_t hash, std::span<const text::TokenId> tokens) const {
  const auto [begin, end] = by_hash_.equal_range(hash);
  for (const auto& [key, page] : std::ranges::subrange(begin, end)) {
    const Page& candidate = pages_[static_cast<size_t>(page)];
    if (candidate.before == prefix && std::ranges::equal(candidate.tokens, tokens)) return page;
  }
  return -1;
}

std::optional<int32_t> KvPages::find(Prefix prefix, std::span<const text::TokenId> tokens) {
  const int32_t page = lookup(prefix, hash_of(prefix, tokens), tokens);
  if (page < 0) return std::nullopt;
  if (at(page).users++ == 0) unused_.erase(at(page).last_use);
  return page;
}

void KvPages::publish(int32_t page, Prefix prefix, std::span<const text::TokenId> tokens) {
  Page& published = at(page);
  const uint64_t hash = hash_of(prefix, tokens);
  const int32_t other = lookup(prefix, hash, tokens);
  if (other >= 0) {  // what stands behind this one stands behind that one, too
    published.prefix = at(other).prefix;
    return;
  }
  published.findable = true;
  published.before = prefix;
  published.prefix = ++last_prefix_;
  published.hash = hash;
  published.tokens.assign(tokens.begin(), tokens.end());
  by_hash_.emplace(hash, page);
}

void KvPages::make_unfindable(int32_t page) {
  Page& forgotten = at(page);
  if (!std::exchange(forgotten.findable, false)) return;
  const auto [begin, end] = by_hash_.equal_range(forgotten.hash);
  const auto found = std::find_if(begin, end, [&](const auto& entry) { return entry.second == page; });
  by_hash_.erase(found);
}

void KvPages::release(int32_t page) {
  Page& released = at(page);
  if (--released.users > 0) return;
  if (keep_ && released.findable) {
    released.last_use = ++uses_;
    unused_.emplace(released.last_use, page);
    return;
  }
  make_unfindable(page);
  free_.push_back(page);
}

void KvPages::forget() {
  for (int32_t page = 0; page < static_cast<int32_t>(count()); ++page) make_unfindable(page);
  for (const auto& [use, page] : unused_) free_.push_back(page);
  unused_.clear();
}

}  // namespace rotor::runtime
