// Merging: short pieces by looking for the lowest rank again and again, long ones with a heap over a linked
// list, so that a megabyte of one letter costs n log n.
#include "rotor/text/byte_level_bpe.h"

#include <algorithm>
#include <array>
#include <limits>
#include <queue>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

constexpr size_t kShortPiece = 32;

uint64_t pair_key(TokenId left, TokenId right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

const char* const kLlama3SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

ByteLevelBpe::ByteLevelBpe(BpeDefinition definition)
    : splitter_(definition.split_pattern),
      tokens_(std::move(definition.tokens)),
      ignore_merges_(definition.ignore_merges),
      specials_(std::move(definition.specials)) {
  std::vector<bool> is_special(tokens_.size());
  for (const auto& [name, id] : specials_) {
    if (id < 0 || id >= vocab_size()) fail("special token ", name, ": id ", id, " is out of range");
    is_special[static_cast<size_t>(id)] = true;
  }
  id_of_.reserve(tokens_.size());
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!is_special[id] && !tokens_[id].empty()) id_of_.emplace(tokens_[id], static_cast<TokenId>(id));
  }
  byte_ids_.resize(256);
  for (int byte = 0; byte < 256; ++byte) {
    const auto it = id_of_.find(std::string(1, static_cast<char>(byte)));
    if (it == id_of_.end()) fail("byte-level BPE: the single byte ", byte, " is no token");
    byte_ids_[static_cast<size_t>(byte)] = it->second;
  }
  if (definition.merges.empty()) {
    derive_merges();
  } else {
    merges_.reserve(definition.merges.size());
    int32_t rank = 0;
    for (const auto& merge : definition.merges) add_merge(merge.left, merge.right, {rank++, merge.result});
  }
  std::sort(specials_.begin(), specials_.end(),
            [](const auto& a, const auto& b) { return a.first.size() > b.first.size(); });
}

void ByteLevelBpe::derive_merges() {
  merges_.reserve(3 * tokens_.size());
  for (const auto& [bytes, id] : id_of_) {
    const std::string_view whole = bytes;
    for (size_t cut = 1; cut < whole.size(); ++cut) {
      const auto left = id_of_.find(whole.substr(0, cut));
      const auto right = id_of_.find(whole.substr(cut));
      if (left != id_of_.end() && right != id_of_.end()) add_merge(left->second, right->second, {id, id});
    }
  }
}

void ByteLevelBpe::add_merge(TokenId left, TokenId right, MergeRule rule) {
  for (const TokenId id : {left, right, rule.result}) {
    if (id < 0 || id >= vocab_size())
      fail("byte-level BPE: merge ", rule.rank, ": id ", id, " is out of range");
  }
  merges_.emplace(pair_key(left, right), rule);
}

const ByteLevelBpe::MergeRule* ByteLevelBpe::find_merge(TokenId left, TokenId right) const {
  const auto it = merges_.find(pair_key(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

std::vector<TokenId> ByteLevelBpe::encode(std::string_view text, SpecialTokens special) const {
  std::vector<TokenId> ids;
  if (special == SpecialTokens::as_text || specials_.empty()) {
    encode_plain(text, ids);
    return ids;
  }
  std::array<bool, 256> starts_special{};
  for (const auto& [name, id] : specials_) {
    if (!name.empty()) starts_special[static_cast<uint8_t>(name[0])] = true;
  }
  size_t plain_begin = 0;
  for (size_t i = 0; i < text.size();) {
    const auto match = !starts_special[static_cast<uint8_t>(text[i])]
                           ? specials_.end()
                           : std::find_if(specials_.begin(), specials_.end(), [&](const auto& entry) {
                               return !entry.first.empty() && text.substr(i).starts_with(entry.first);
                             });
    if (match == specials_.end()) {
      ++i;
      continue;
    }
    encode_plain(text.substr(plain_begin, i - plain_begin), ids);
    ids.push_back(match->second);
    i += match->first.size();
    plain_begin = i;
  }
  encode_plain(text.substr(plain_begin), ids);
  return ids;
}

void ByteLevelBpe::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  splitter_.split(text, [&](std::string_view piece) { encode_piece(piece, ids); });
}

void ByteLevelBpe::encode_piece(std::string_view piece, std::vector<TokenId>& ids) const {
  if (ignore_merges_ || piece.size() == 1) {
    if (const auto it = id_of_.find(piece); it != id_of_.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  std::vector<TokenId> parts;
  parts.reserve(piece.size());
  for (const char c : piece) parts.push_back(byte_ids_[static_cast<uint8_t>(c)]);
  if (piece.size() <= kShortPiece) {
    merge_short(parts);
  } else {
    merge_long(parts);
  }
  ids.insert(ids.end(), parts.begin(), parts.end());
}

void ByteLevelBpe::merge_short(std::vector<TokenId>& parts) const {
  while (parts.size() > 1) {
    size_t best = 0;
    const MergeRule* best_rule = nullptr;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const MergeRule* rule = find_merge(parts[i], parts[i + 1]);
      if (rule != nullptr && (best_rule == nullptr || rule->rank < best_rule->rank)) {
        best = i;
        best_rule = rule;
      }
    }
    if (best_rule == nullptr) return;
    parts[best] = best_rule->result;
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

void ByteLevelBpe::merge_long(std::vector<TokenId>& parts) const {
  struct Candidate {
    int32_t rank;
    uint32_t left, right;       // positions
    TokenId left_id, right_id;  // when it was made: outdated if a neighbour was merged since
    TokenId result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
  constexpr TokenId kMerged = -1;
  const auto count = static_cast<uint32_t>(parts.size());
  std::vector<uint32_t> next(count);
  std::vector<uint32_t> previous(count);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](uint32_t left, uint32_t right) {
    if (left == kEnd || right == kEnd) return;
    if (const MergeRule* rule = find_merge(parts[left], parts[right])) {
      heap.push({rule->rank, left, right, parts[left], parts[right], rule->result});
    }
  };
  for (uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : kEnd;
    previous[i] = i > 0 ? i - 1 : kEnd;
  }
  for (uint32_t i = 0; i + 1 < count; ++i) offer(i, i + 1);
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    if (parts[best.left] != best.left_id || parts[best.right] != best.right_id ||
        next[best.left] != best.right)
      continue;
    parts[best.left] = best.result;
    parts[best.right] = kMerged;
    next[best.left] = next[best.right];
    if (next[best.left] != kEnd) previous[next[best.left]] = best.left;
    offer(previous[best.left], best.left);
    offer(best.left, next[best.left]);
  }
  parts.erase(std::remove(parts.begin(), parts.end(), kMerged), parts.end());
}

std::string ByteLevelBpe::token_bytes(TokenId id, bool) const {
  if (id < 0 || id >= vocab_size()) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
  return tokens_[static_cast<size_t>(id)];
}

std::string ByteLevelBpe::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id, false);
  return text;
}

}  // namespace rotor::text
