// The tables of byte-level BPE, of which WordPiece has those of tokens, as they lie in a .rotor file
// (docs/file-format.md, "Tokenizer"): looked up where they lie, never parsed. A table of a file may hold
// anything, so every lookup checks what it reads at the moment of use and throws Error; nothing is read
// outside the spans, and no lookup takes more than kMaxProbes steps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rotor/formats/safetensors.h"

namespace rotor {

/// V tokens, S slots of the index, M slots of merges, K special tokens.
struct BpeTables {
  static constexpr uint32_t kNone = 0xFFFFFFFF;
  static constexpr size_t kMaxProbes = 64;
  static constexpr size_t kMaxTokens = size_t{1} << 24;

  /// What two neighbours become. `rank` is kNone if they do not merge.
  struct Merge {
    uint32_t rank;
    uint32_t result;  ///< below V
  };

  std::span<const uint8_t> token_bytes;     // the bytes of all tokens, one after another
  std::span<const uint32_t> token_offsets;  // [V + 1] into token_bytes
  std::span<const uint32_t> token_index;    // [S, 2] hash, id
  std::span<const uint32_t> merges;         // [M, 4] left, right, rank, result
  std::span<const uint32_t> byte_ids;       // [256] the token of each single byte
  std::span<const uint32_t> special_ids;    // [K] longest first

  size_t num_tokens() const { return token_offsets.size() - 1; }
  /// The bytes of a token. Throws Error if the id is out of range or the table damaged.
  std::string_view token(uint32_t id) const;
  /// The id of the token, not a special one, that has these bytes; kNone if there is none.
  uint32_t find_token(std::string_view bytes) const;
  Merge find_merge(uint32_t left, uint32_t right) const;
};

/// Their names, in the order of the file; types and shapes are checked by check_attachments().
inline constexpr std::array<const char*, 6> kBpeTensors = {"tokenizer.token_bytes", "tokenizer.token_offsets",
                                                           "tokenizer.token_index", "tokenizer.merges",
                                                           "tokenizer.byte_ids",    "tokenizer.special_ids"};

/// The tables of a file that passed check_attachments(), valid while it lives. Those of WordPiece are without
/// merges and byte_ids.
BpeTables bpe_tables(const SafetensorsFile& file);

/// The index of the tokens that are not empty and not in `special_ids`, which is read as ids. Of equal tokens
/// the first counts.
std::vector<uint32_t> build_token_index(const BpeTables& tokens);

struct BpeMerge {
  uint32_t left, right, rank, result;
};
/// The table of `merges`. Of equal pairs the first counts.
std::vector<uint32_t> build_merge_table(std::span<const BpeMerge> merges);
/// What a table holds, in no order, as it stands there.
std::vector<BpeMerge> listed_merges(const BpeTables& tables);

/// Reads all tables: one message a fault, at most `limit`.
std::vector<std::string> find_bpe_faults(const BpeTables& tables, size_t limit);

}  // namespace rotor
