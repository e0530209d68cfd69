// Masks of tokens, one a state, computed along the tree of tokens and kept while memory allows.
#include "runtime/grammar/grammar_constraint.h"

#include <algorithm>
#include <limits>

#include "rotor/core/error.h"

namespace rotor::runtime::grammar {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
/// For what was computed of the grammar, and as much again for masks.
constexpr size_t kMaxCacheBytes = size_t{8} << 20;
/// Positions looked at for one mask or token. JSON takes some thousands, this some hundredths of a second:
/// all texts of a server wait for it.
constexpr uint64_t kMaxMaskWork = uint64_t{1} << 16;
/// For a text, and for each of its tokens: some tenths of a second and a millisecond.
constexpr uint64_t kTextWork = uint64_t{1} << 20;
constexpr uint64_t kTokenWork = uint64_t{1} << 12;

}  // namespace

GrammarConstraint::GrammarConstraint(std::shared_ptr<const Grammar> grammar,
                                     std::shared_ptr<const TokenTrie> trie,
                                     const std::vector<text::TokenId>& stop_tokens)
    : grammar_(std::move(grammar)),
      trie_(std::move(trie)),
      sets_(*grammar_),
      state_(sets_.start()),
      text_work_(kTextWork) {
  for (const text::TokenId id : stop_tokens) {
    if (id >= 0 && id < trie_->vocab_size()) stop_tokens_.push_back(id);
  }
  if (stop_tokens_.empty()) {
    fail("grammar: expected a model with a token that ends a text, found none in its vocabulary of ",
         trie_->vocab_size());
  }
}

/// For the next token.
void GrammarConstraint::limit_work() {
  const uint64_t left = text_work_ - std::min(text_work_, sets_.work());
  if (left == 0) {
    throw ConstraintError(cat("grammar: expected one that takes at most ", kTokenWork,
                              " steps of work a token in the long run, found more"));
  }
  sets_.limit_work(std::min(kMaxMaskWork, left));
}

bool GrammarConstraint::is_stop(text::TokenId id) const {
  return std::ranges::find(stop_tokens_, id) != stop_tokens_.end();
}

StackSets::Set GrammarConstraint::behind(text::TokenId id) {
  if (id < 0 || id >= trie_->vocab_size()) return StackSets::kNone;
  const std::string_view bytes = trie_->bytes(id);
  if (bytes.empty()) return StackSets::kNone;
  limit_work();
  StackSets::Set set = state_;
  for (size_t i = 0; i < bytes.size() && set != StackSets::kNone; ++i) {
    set = sets_.step(set, static_cast<uint8_t>(bytes[i]));
  }
  return set;
}

bool GrammarConstraint::allows(text::TokenId id) {
  return is_stop(id) ? complete() : behind(id) != StackSets::kNone;
}

void GrammarConstraint::accept(text::TokenId id) {
  if (!allows(id)) fail("grammar: expected a token that may come, found ", id);
  state_ = is_stop(id) ? StackSets::kDone : behind(id);
  text_work_ += kTokenWork;
  if (sets_.num_bytes() < kMaxCacheBytes) return;
  masks_.clear();
  sets_.collect({&state_, 1});
}

GrammarConstraint::Mask GrammarConstraint::compute_mask() {
  Mask mask((static_cast<size_t>(trie_->vocab_size()) + 63) / 64);
  const auto allow = [&](text::TokenId id) {
    mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (static_cast<size_t>(id) % 64);
  };
  const auto nodes = trie_->nodes();
  const auto tokens = trie_->tokens();
  std::vector<StackSets::Set> path(trie_->longest_token() + 1, StackSets::kNone);
  path[0] = state_;
  limit_work();
  uint64_t work = sets_.work();
  for (size_t i = 0; i + 1 < nodes.size();) {
    const TokenTrie::Node& node = nodes[i];
    const StackSets::Set set = sets_.step(path[node.depth], node.byte);
    if (set == StackSets::kNone) {
      i = node.end;
      continue;
    }
    path[node.depth + 1U] = set;
    for (uint32_t t = node.tokens_begin; t < nodes[i + 1].tokens_begin; ++t) allow(tokens[t]);
    ++i;
    if (sets_.work() == work) continue;  // nothing new came
    work = sets_.work();
    if (sets_.num_bytes() >= kMaxCacheBytes) {
      masks_.clear();
      sets_.collect({path.data(), node.depth + 2U});
      state_ = path[0];
    }
  }
  for (const text::TokenId id : stop_tokens_) {
    mask[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (static_cast<size_t>(id) % 64));
    if (complete()) allow(id);
  }
  return mask;
}

const GrammarConstraint::Mask& GrammarConstraint::mask() {
  if (const auto known = masks_.find(state_); known != masks_.end()) return known->second;
  Mask mask = compute_mask();
  if (std::ranges::all_of(mask, [](uint64_t word) { return word == 0; })) {
    throw ConstraintError("grammar: no token of the vocabulary has the bytes that may come next");
  }
  if ((masks_.size() + 1) * mask.size() * sizeof(uint64_t) > kMaxCacheBytes) masks_.clear();
  return masks_.emplace(state_, std::move(mask)).first->second;
}

void GrammarConstraint::restrict(std::span<float> logits) {
  const Mask& allowed = mask();
  for (size_t begin = 0; begin < logits.size(); begin += 64) {
    const uint64_t word = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    const auto part = logits.subspan(begin, std::min<size_t>(64, logits.size() - begin));
    if (word == 0) {
      std::ranges::fill(part, -kInfinity);
    } else if (word != UINT64_MAX) {
      for (size_t i = 0; i < part.size(); ++i) {
        if ((word >> i & 1) == 0) part[i] = -kInfinity;
      }
    }
  }
}

size_t GrammarConstraint::num_bytes() const {
  return sets_.num_bytes() + masks_.size() * (static_cast<size_t>(trie_->vocab_size()) / 8 + 64);
}

}  // namespace rotor::runtime::grammar
