// Merging: short pieces by looking for the lowest rank again and again, long ones with a heap over a linked
// list, so that a megabyte of one letter costs n log n.
#include "rotor/text/byte_level_bpe.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <queue>

#include "rotor/core/error.h"
#include "rotor/text/nfc.h"

namespace rotor::text {
namespace {

constexpr size_t kShortPiece = 32;
constexpr uint32_t kNone = BpeTables::kNone;
constexpr size_t kManyMerges = size_t{1} << 19;

std::string metadata_of(const RotorFile& file, const char* key) {
  return file.container().metadata().at(key);  // RotorFile has checked that it is there
}

}  // namespace

/// Tables built from a definition.
struct ByteLevelBpe::Memory {
  std::vector<uint8_t> token_bytes;
  std::vector<uint32_t> token_offsets;
  std::vector<uint32_t> token_index;
  std::vector<uint32_t> merges;
  std::vector<uint32_t> byte_ids;
  std::vector<uint32_t> special_ids;

  explicit Memory(const BpeDefinition& definition) {
    place_tokens(definition);
    token_index = build_token_index(view());
    for (int byte = 0; byte < 256; ++byte) {
      byte_ids.push_back(view().find_token(std::string(1, static_cast<char>(byte))));
      if (byte_ids.back() == kNone) fail("byte-level BPE: the single byte ", byte, " is no token");
    }
    merges = build_merge_table(definition.merges.empty() ? derived_merges() : given_merges(definition));
  }

  BpeTables view() const { return {token_bytes, token_offsets, token_index, merges, byte_ids, special_ids}; }

 private:
  void place_tokens(const BpeDefinition& definition) {
    const size_t count = definition.tokens.size();
    if (count >= BpeTables::kMaxTokens) {
      fail("byte-level BPE: expected less than ", BpeTables::kMaxTokens, " tokens, found ", count);
    }
    special_ids = special_ids_of("byte-level BPE", definition.specials, definition.tokens);
    token_offsets.push_back(0);
    for (const std::string& token : definition.tokens) {
      token_bytes.insert(token_bytes.end(), token.begin(), token.end());
      if (token_bytes.size() >= kNone) fail("byte-level BPE: the tokens take 4 GiB or more");
      token_offsets.push_back(static_cast<uint32_t>(token_bytes.size()));
    }
  }

  std::vector<BpeMerge> given_merges(const BpeDefinition& definition) const {
    const BpeTables tables = view();
    std::vector<BpeMerge> result;
    result.reserve(definition.merges.size());
    for (const auto& merge : definition.merges) {
      const auto rank = static_cast<uint32_t>(result.size());
      for (const TokenId id : {merge.left, merge.right, merge.result}) {
        if (id < 0 || static_cast<size_t>(id) >= tables.num_tokens())
          fail("byte-level BPE: merge ", rank, ": id ", id, " is out of range");
      }
      const BpeMerge entry{static_cast<uint32_t>(merge.left), static_cast<uint32_t>(merge.right), rank,
                           static_cast<uint32_t>(merge.result)};
      const std::string_view whole = tables.token(entry.result);
      const std::string_view left = tables.token(entry.left);
      const bool has_empty = left.empty() || left.size() == whole.size();
      if (has_empty || !whole.starts_with(left) || whole.substr(left.size()) != tables.token(entry.right)) {
        fail("byte-level BPE: merge ", rank, ": tokens ", entry.left, " and ", entry.right,
             " do not make token ", entry.result);
      }
      result.push_back(entry);
    }
    return result;
  }

  std::vector<BpeMerge> derived_merges() const {
    const BpeTables tables = view();
    // Only lengths that tokens have are looked up: all cuts of a long token would cost the square of its
    // length.
    std::vector<bool> has_length(1);
    for (uint32_t id = 0; id < tables.num_tokens(); ++id) {
      const size_t length = tables.token(id).size();
      if (length >= has_length.size()) has_length.resize(length + 1);
      has_length[length] = true;
    }
    std::vector<BpeMerge> result;
    for (uint32_t id = 0; id < tables.num_tokens(); ++id) {
      const std::string_view whole = tables.token(id);
      if (whole.size() < 2 || tables.find_token(whole) != id) continue;
      for (size_t cut = 1; cut < whole.size(); ++cut) {
        if (!has_length[cut] || !has_length[whole.size() - cut]) continue;
        const uint32_t left = tables.find_token(whole.substr(0, cut));
        const uint32_t right = left == kNone ? kNone : tables.find_token(whole.substr(cut));
        if (right != kNone) result.push_back({left, right, id, id});
      }
      // Two or three a token in what is published; tokens of one letter and every length have one a byte.
      if (result.size() > kManyMerges + token_bytes.size() / 4)
        fail("byte-level BPE: the tokens are made of one another in more than ", result.size(), " ways");
    }
    return result;
  }
};

ByteLevelBpe::ByteLevelBpe(const BpeDefinition& definition)
    : memory_(std::make_unique<Memory>(definition)),
      tables_(memory_->view()),
      normalize_nfc_(definition.normalize_nfc),
      split_pattern_(definition.split_pattern),
      ignore_merges_(definition.ignore_merges),
      splitter_(split_pattern_) {
  take_ids();
}

ByteLevelBpe::ByteLevelBpe(std::shared_ptr<const RotorFile> file)
    : file_(std::move(file)),
      tables_(bpe_tables(file_->container())),
      normalize_nfc_(file_->container().metadata().contains(rotor_key::kNormalizer)),
      split_pattern_(metadata_of(*file_, rotor_key::kSplitPattern)),
      ignore_merges_(metadata_of(*file_, rotor_key::kIgnoreMerges) == "true"),
      splitter_(split_pattern_) {
  take_ids();
  check_intact();
}

ByteLevelBpe::~ByteLevelBpe() = default;

/// Copies the ids that are not checked at each use.
void ByteLevelBpe::take_ids() {
  std::copy(tables_.byte_ids.begin(), tables_.byte_ids.end(), byte_ids_.begin());
  for (const uint32_t id : byte_ids_) {
    if (id >= tables_.num_tokens())
      fail("tensor \"", kBpeTensors[4], "\": expected ids of 0 to ", vocab_size() - 1, ", found ", id);
  }
  specials_ = SpecialTokenTable(tables_);
}

void ByteLevelBpe::check_intact() const {
  if (file_ != nullptr) file_->check_intact();
}

std::vector<TokenId> ByteLevelBpe::encode(std::string_view text, SpecialTokens special) const {
  std::vector<TokenId> ids;
  const auto on_text = [&](std::string_view plain) { encode_plain(plain, ids); };
  if (special == SpecialTokens::parse) {
    specials_.split(text, on_text, [&](TokenId id) { ids.push_back(id); });
  } else {
    on_text(text);
  }
  check_intact();
  return ids;
}

std::vector<std::pair<std::string, TokenId>> ByteLevelBpe::special_tokens() const {
  auto result = specials_.copy();
  check_intact();
  return result;
}

void ByteLevelBpe::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  std::string normalized;
  if (normalize_nfc_) text = to_nfc(text, normalized);
  splitter_.split(text, [&](std::string_view piece) { encode_piece(piece, ids); });
}

void ByteLevelBpe::encode_piece(std::string_view piece, std::vector<TokenId>& ids) const {
  if (piece.size() == 1) {
    ids.push_back(static_cast<TokenId>(byte_ids_[static_cast<uint8_t>(piece[0])]));
    return;
  }
  if (ignore_merges_) {
    if (const uint32_t id = tables_.find_token(piece); id != kNone) {
      // An id from the index is in range, or it would not have had the piece's bytes.
      ids.push_back(static_cast<TokenId>(id));
      return;
    }
  }
  if (piece.size() <= kShortPiece) {
    merge_short(piece, ids);
  } else {
    merge_long(piece, ids);
  }
}

void ByteLevelBpe::merge_short(std::string_view piece, std::vector<TokenId>& ids) const {
  std::array<uint32_t, kShortPiece> parts;
  std::array<BpeTables::Merge, kShortPiece> merges;  // of each part and the next one
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) parts[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
  const auto look_up = [&](size_t i) {
    merges[i] = i + 1 < count ? tables_.find_merge(parts[i], parts[i + 1]) : BpeTables::Merge{kNone, 0};
  };
  for (size_t i = 0; i < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == kNone) break;
    parts[best] = merges[best].result;
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      parts[i] = parts[i + 1];
      merges[i] = merges[i + 1];
    }
    look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids.insert(ids.end(), parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count));
}

void ByteLevelBpe::merge_long(std::string_view piece, std::vector<TokenId>& ids) const {
  struct Candidate {
    uint32_t rank;
    uint32_t left, right;        // positions
    uint32_t left_id, right_id;  // when it was made: outdated if a neighbour was merged since
    uint32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  constexpr uint32_t kEnd = std::numeric_limits<uint32_t>::max();
  if (piece.size() >= kEnd) fail("byte-level BPE: a piece of ", piece.size(), " bytes is too long");
  const auto count = static_cast<uint32_t>(piece.size());
  std::vector<uint32_t> parts(count);  // kNone where merged into the part before
  std::vector<uint32_t> next(count);
  std::vector<uint32_t> previous(count);
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](uint32_t left, uint32_t right) {
    if (left == kEnd || right == kEnd) return;
    const auto merge = tables_.find_merge(parts[left], parts[right]);
    if (merge.rank != kNone) heap.push({merge.rank, left, right, parts[left], parts[right], merge.result});
  };
  for (uint32_t i = 0; i < count; ++i) {
    parts[i] = byte_ids_[static_cast<uint8_t>(piece[i])];
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
    parts[best.right] = kNone;
    next[best.left] = next[best.right];
    if (next[best.left] != kEnd) previous[next[best.left]] = best.left;
    offer(previous[best.left], best.left);
    offer(best.left, next[best.left]);
  }
  std::copy_if(parts.begin(), parts.end(), std::back_inserter(ids), [](uint32_t id) { return id != kNone; });
}

std::string ByteLevelBpe::token_bytes(TokenId id, bool) const {
  if (id < 0) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
  return std::string(tables_.token(static_cast<uint32_t>(id)));
}

std::string ByteLevelBpe::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += token_bytes(id, false);
  check_intact();
  return text;
}

RotorAttachments ByteLevelBpe::attachments() const {
  RotorAttachments result;
  const auto attach = [&](size_t index, DType dtype, std::vector<int64_t> shape, const auto& values) {
    const auto bytes = std::as_bytes(values);
    const auto* begin = reinterpret_cast<const uint8_t*>(bytes.data());
    result.tensors.push_back({{kBpeTensors[index], dtype, std::move(shape)}, {begin, begin + bytes.size()}});
  };
  const auto size = [](const auto& values, size_t entry) {
    return static_cast<int64_t>(values.size() / entry);
  };
  attach(0, DType::u8, {size(tables_.token_bytes, 1)}, tables_.token_bytes);
  attach(1, DType::u32, {size(tables_.token_offsets, 1)}, tables_.token_offsets);
  attach(2, DType::u32, {size(tables_.token_index, 2), 2}, tables_.token_index);
  attach(3, DType::u32, {size(tables_.merges, 4), 4}, tables_.merges);
  attach(4, DType::u32, {size(tables_.byte_ids, 1)}, tables_.byte_ids);
  attach(5, DType::u32, {size(tables_.special_ids, 1)}, tables_.special_ids);
  result.metadata = {{rotor_key::kTokenizer, kind()},
                     {rotor_key::kSplitPattern, split_pattern_},
                     {rotor_key::kIgnoreMerges, ignore_merges_ ? "true" : "false"}};
  if (normalize_nfc_) result.metadata[rotor_key::kNormalizer] = rotor_normalizer::kNfc;
  if (const auto id = bos()) result.set_bos_token(*id);
  if (const auto id = eos()) result.set_stop_tokens({*id});
  check_intact();
  return result;
}

TokenizerDefinition ByteLevelBpe::definition() const {
  BpeDefinition result{
      .normalize_nfc = normalize_nfc_, .split_pattern = split_pattern_, .ignore_merges = ignore_merges_};
  result.tokens.reserve(tables_.num_tokens());
  for (uint32_t id = 0; id < tables_.num_tokens(); ++id) result.tokens.emplace_back(tables_.token(id));
  auto merges = listed_merges(tables_);
  std::ranges::sort(merges, {}, [](const BpeMerge& m) { return std::array{m.rank, m.left, m.right}; });
  for (const BpeMerge& merge : merges) {
    static_cast<void>(tables_.token(std::max({merge.left, merge.right, merge.result})));  // in range
    result.merges.push_back({static_cast<TokenId>(merge.left), static_cast<TokenId>(merge.right),
                             static_cast<TokenId>(merge.result)});
  }
  result.specials = specials_.copy();
  std::ranges::sort(result.specials, {}, [](const auto& special) { return special.second; });
  check_intact();
  return result;
}

}  // namespace rotor::text
