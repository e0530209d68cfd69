// Hash tables with open addressing: a key's first slot is the upper half of its hash, scaled to the number of
// slots, and the next ones follow.
#include "rotor/formats/bpe_tables.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "rotor/core/error.h"

namespace rotor {
namespace {

constexpr size_t kTokenEntry = 2;  // words
constexpr size_t kMergeEntry = 4;

uint64_t hash_of(std::string_view bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

uint64_t hash_of(uint32_t left, uint32_t right) {
  return (uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15U;  // 2^64 divided by the golden ratio
}

size_t first_slot(uint64_t hash, size_t slots) {
  return static_cast<size_t>(((hash >> 32) * slots) >> 32);
}

/// At half of the slots full, as tables start, chance seldom needs more; no honest file needs this many.
constexpr size_t kMostSlotsPerKey = 8;

/// Slots of a table with `entry` words a slot, filled by insert(table, slots), which is tried with more slots
/// until it says that no key is further than kMaxProbes from its first slot. Throws Error for keys that were
/// chosen to have one hash.
template <class Insert>
std::vector<uint32_t> build_table(size_t keys, size_t entry, Insert insert) {
  for (size_t slots = std::max<size_t>(1, 2 * keys); slots <= kMostSlotsPerKey * keys + 1;
       slots += slots / 2 + 1) {
    std::vector<uint32_t> table(slots * entry, BpeTables::kNone);
    if (insert(table, slots)) return table;
  }
  fail("tokenizer: ", keys, " keys fit no hash table: too many of them have one hash");
}

}  // namespace

std::string_view BpeTables::token(uint32_t id) const {
  if (id >= num_tokens()) fail("token id: expected 0 to ", num_tokens() - 1, ", found ", id);
  const uint32_t begin = token_offsets[id];
  const uint32_t end = token_offsets[id + 1];
  if (begin > end || end > token_bytes.size()) {
    fail("tokenizer: token ", id, " lies from byte ", begin, " to ", end, " of ", token_bytes.size(),
         ": the file is damaged");
  }
  return {reinterpret_cast<const char*>(token_bytes.data()) + begin, end - begin};
}

uint32_t BpeTables::find_token(std::string_view bytes) const {
  const size_t slots = token_index.size() / kTokenEntry;
  const uint64_t hash = hash_of(bytes);
  size_t slot = first_slot(hash, slots);
  for (size_t probe = 0; probe < kMaxProbes; ++probe) {
    const uint32_t stored = token_index[slot * kTokenEntry];
    const uint32_t id = token_index[slot * kTokenEntry + 1];
    if (id == kNone) return kNone;
    if (stored == static_cast<uint32_t>(hash) && token(id) == bytes) return id;
    if (++slot == slots) slot = 0;
  }
  return kNone;
}

BpeTables::Merge BpeTables::find_merge(uint32_t left, uint32_t right) const {
  const size_t slots = merges.size() / kMergeEntry;
  size_t slot = first_slot(hash_of(left, right), slots);
  for (size_t probe = 0; probe < kMaxProbes; ++probe) {
    const uint32_t* entry = &merges[slot * kMergeEntry];
    if (entry[0] == left && entry[1] == right) {
      const Merge merge{entry[2], entry[3]};
      if (merge.result >= num_tokens()) {
        fail("tokenizer: merge of ", left, " and ", right, ": result: expected 0 to ", num_tokens() - 1,
             ", found ", merge.result, ": the file is damaged");
      }
      return merge;
    }
    if (entry[0] == kNone) break;
    if (++slot == slots) slot = 0;
  }
  return {kNone, 0};
}

std::vector<uint32_t> build_token_index(const BpeTables& tokens) {
  std::vector<bool> is_special(tokens.num_tokens());
  for (const uint32_t id : tokens.special_ids) is_special[id] = true;
  return build_table(tokens.num_tokens(), kTokenEntry, [&](std::vector<uint32_t>& table, size_t slots) {
    for (uint32_t id = 0; id < tokens.num_tokens(); ++id) {
      const std::string_view bytes = tokens.token(id);
      if (is_special[id] || bytes.empty()) continue;
      const uint64_t hash = hash_of(bytes);
      size_t slot = first_slot(hash, slots);
      size_t probe = 0;
      for (; probe < BpeTables::kMaxProbes; ++probe) {
        uint32_t* entry = &table[slot * kTokenEntry];
        if (entry[1] != BpeTables::kNone && tokens.token(entry[1]) == bytes) break;
        if (entry[1] == BpeTables::kNone) {
          entry[0] = static_cast<uint32_t>(hash);
          entry[1] = id;
          break;
        }
        if (++slot == slots) slot = 0;
      }
      if (probe == BpeTables::kMaxProbes) return false;
    }
    return true;
  });
}

std::vector<uint32_t> build_merge_table(std::span<const BpeMerge> merges) {
  return build_table(merges.size(), kMergeEntry, [&](std::vector<uint32_t>& table, size_t slots) {
    for (const BpeMerge& merge : merges) {
      size_t slot = first_slot(hash_of(merge.left, merge.right), slots);
      size_t probe = 0;
      for (; probe < BpeTables::kMaxProbes; ++probe) {
        uint32_t* entry = &table[slot * kMergeEntry];
        if (entry[0] == merge.left && entry[1] == merge.right) break;
        if (entry[0] == BpeTables::kNone) {
          const std::array<uint32_t, kMergeEntry> words = {merge.left, merge.right, merge.rank, merge.result};
          std::copy(words.begin(), words.end(), entry);
          break;
        }
        if (++slot == slots) slot = 0;
      }
      if (probe == BpeTables::kMaxProbes) return false;
    }
    return true;
  });
}

std::vector<BpeMerge> listed_merges(const BpeTables& tables) {
  std::vector<BpeMerge> merges;
  for (size_t at = 0; at < tables.merges.size(); at += kMergeEntry) {
    const auto entry = tables.merges.subspan(at, kMergeEntry);
    if (entry[0] != BpeTables::kNone) merges.push_back({entry[0], entry[1], entry[2], entry[3]});
  }
  return merges;
}

BpeTables bpe_tables(const SafetensorsFile& file) {
  const auto words = [&](const char* name) -> std::span<const uint32_t> {
    const auto bytes = file.bytes(file.at(name));
    return {reinterpret_cast<const uint32_t*>(bytes.data()), bytes.size() / sizeof(uint32_t)};
  };
  BpeTables tables;
  tables.token_bytes = file.bytes(file.at(kBpeTensors[0]));
  tables.token_offsets = words(kBpeTensors[1]);
  tables.token_index = words(kBpeTensors[2]);
  if (file.find(kBpeTensors[3]) != nullptr) {  // WordPiece has none
    tables.merges = words(kBpeTensors[3]);
    tables.byte_ids = words(kBpeTensors[4]);
  }
  tables.special_ids = words(kBpeTensors[5]);
  return tables;
}

namespace {

/// Collects messages up to a limit; what a check throws is one, too.
class BpeCheck {
 public:
  BpeCheck(const BpeTables& tables, size_t limit) : tables_(tables), limit_(limit) {}

  std::vector<std::string> run() {
    if (tables_.token_offsets.front() != 0) add("tokenizer.token_offsets: does not start with 0");
    if (tables_.token_offsets.back() != tables_.token_bytes.size()) {
      add("tokenizer.token_offsets: ends with ", tables_.token_offsets.back(), ", expected ",
          tables_.token_bytes.size());
    }
    is_special_.resize(tables_.num_tokens());
    is_indexed_.resize(tables_.num_tokens());
    each(tables_.special_ids.size(), [&](size_t i) { check_special(i); });
    each(tables_.num_tokens(), [&](size_t id) { check_token(static_cast<uint32_t>(id)); });
    each(tables_.byte_ids.size(), [&](size_t byte) {
      if (tables_.token(tables_.byte_ids[byte]) != std::string(1, static_cast<char>(byte))) {
        fail("tokenizer.byte_ids: ", byte, ": token ", tables_.byte_ids[byte], " is not this byte");
      }
    });
    each(tables_.token_index.size() / kTokenEntry, [&](size_t slot) { check_index(slot); });
    each(tables_.merges.size() / kMergeEntry, [&](size_t slot) { check_merge(slot); });
    return std::move(messages_);
  }

 private:
  template <class... Args>
  void add(const Args&... args) {
    if (messages_.size() < limit_) messages_.push_back(cat(args...));
  }
  template <class Check>
  void each(size_t count, Check check) {
    for (size_t i = 0; i < count && messages_.size() < limit_; ++i) {
      try {
        check(i);
      } catch (const Error& e) {
        add(e.what());
      }
    }
  }
  void check_special(size_t i) {
    const uint32_t id = tables_.special_ids[i];
    const size_t length = tables_.token(id).size();
    if (length == 0) fail("tokenizer.special_ids: token ", id, " has no bytes");
    if (i > 0 && length > tables_.token(tables_.special_ids[i - 1]).size()) {
      fail("tokenizer.special_ids: ", i, ": not in order of falling length");
    }
    if (is_special_[id]) fail("tokenizer.special_ids: token ", id, " stands twice");
    is_special_[id] = true;
  }
  void check_token(uint32_t id) const {
    const std::string_view bytes = tables_.token(id);
    if (bytes.empty() || is_special_[id]) return;
    const uint32_t found = tables_.find_token(bytes);
    if (found == BpeTables::kNone || found > id)
      fail("tokenizer.token_index: token ", id, " is not found by its bytes");
  }
  void check_index(size_t slot) {
    const uint32_t id = tables_.token_index[slot * kTokenEntry + 1];
    if (id == BpeTables::kNone) return;
    // Also what keeps the time of this check: a long token is looked at once.
    if (id < is_indexed_.size() && is_indexed_[id])
      fail("tokenizer.token_index: slot ", slot, " holds token ", id, ", which stands there twice");
    if (tables_.find_token(tables_.token(id)) != id || is_special_[id])
      fail("tokenizer.token_index: slot ", slot, " holds token ", id, ", which does not belong there");
    is_indexed_[id] = true;
  }
  void check_merge(size_t slot) const {
    const uint32_t* entry = &tables_.merges[slot * kMergeEntry];
    if (entry[0] == BpeTables::kNone) return;
    const auto merge = tables_.find_merge(entry[0], entry[1]);
    if (merge.rank != entry[2] || merge.result != entry[3] || merge.rank == BpeTables::kNone) {
      fail("tokenizer.merges: slot ", slot, " holds what does not belong there");
    }
    const std::string_view whole = tables_.token(merge.result);
    const std::string_view left = tables_.token(entry[0]);
    const std::string_view right = tables_.token(entry[1]);
    if (left.empty() || right.empty())
      fail("tokenizer.merges: slot ", slot, ": tokens ", entry[0], " and ", entry[1], ": one has no bytes");
    if (!whole.starts_with(left) || whole.substr(left.size()) != right) {
      fail("tokenizer.merges: tokens ", entry[0], " and ", entry[1], " do not make token ", merge.result);
    }
  }

  const BpeTables& tables_;
  size_t limit_;
  std::vector<bool> is_special_;
  std::vector<bool> is_indexed_;
  std::vector<std::string> messages_;
};

}  // namespace

std::vector<std::string> find_bpe_faults(const BpeTables& tables, size_t limit) {
  return BpeCheck(tables, limit).run();
}

}  // namespace rotor
