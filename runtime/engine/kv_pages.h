// Which page of a paged KV cache belongs to whom (Kwon et al. 2023, arXiv:2309.06180). Pages that are full
// are known by what they hold and by what stands before that, so that texts with the same beginning share
// them; what nobody uses is kept until its place is needed, the page that was used last the longest. No keys
// or values are touched here.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "rotor/text/tokenizer.h"
#include "runtime/model/adapter.h"

namespace rotor::runtime {

class KvPages {
 public:
  /// A beginning of texts, in whole pages; its number is never used again for another one.
  using Prefix = uint64_t;

  /// `keep`: whether pages that nobody uses are kept.
  KvPages(int64_t count, int64_t page_tokens, bool keep);

  int64_t count() const { return static_cast<int64_t>(pages_.size()); }
  int64_t page_tokens() const { return page_tokens_; }
  int64_t in_use() const { return count() - std::ssize(free_) - std::ssize(unused_); }
  /// Pages that take() can give.
  int64_t available() const { return std::ssize(free_) + std::ssize(unused_); }
  int64_t kept() const { return std::ssize(unused_); }

  /// The beginning of all texts that are computed with these adapters.
  Prefix root(const std::vector<ActiveAdapter>& adapters);

  /// A page with nothing in it; nothing if all are in use.
  std::optional<int32_t> take();
  /// The page with `tokens`, as many as a page has, behind `prefix`, for one more user; nothing if there is
  /// none.
  std::optional<int32_t> find(Prefix prefix, std::span<const text::TokenId> tokens);
  /// The beginning that ends with a page which find() gave or publish() was told of.
  Prefix prefix_of(int32_t page) const { return pages_[static_cast<size_t>(page)].prefix; }
  /// From now on the page holds `tokens` behind `prefix` and is found there, unless another one is already.
  void publish(int32_t page, Prefix prefix, std::span<const text::TokenId> tokens);
  /// One user fewer. Of a text the last page goes first: what is kept the longest is what most begin with.
  void release(int32_t page);
  /// Forgets what pages hold; those in use stay in use.
  void forget();

 private:
  struct Page {
    int32_t users = 0;
    bool findable = false;
    Prefix before = 0;
    Prefix prefix = 0;
    uint64_t hash = 0;
    std::vector<text::TokenId> tokens;
    uint64_t last_use = 0;
  };
  struct Root {
    std::vector<ActiveAdapter> adapters;
    Prefix prefix;
  };

  Page& at(int32_t page) { return pages_[static_cast<size_t>(page)]; }
  /// The page with these tokens behind `prefix`, or -1.
  int32_t lookup(Prefix prefix, uint64_t hash, std::span<const text::TokenId> tokens) const;
  void make_unfindable(int32_t page);

  int64_t page_tokens_;
  bool keep_;
  std::vector<Page> pages_;
  std::vector<int32_t> free_;
  std::map<uint64_t, int32_t> unused_;                  // pages that are kept, by their last use
  std::unordered_multimap<uint64_t, int32_t> by_hash_;  // findable pages
  std::vector<Root> roots_;                             // the last ones that were asked for, newest last
  Prefix last_prefix_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace rotor::runtime
