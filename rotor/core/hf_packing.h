// The 2-bit layout of published BitNet checkpoints (Hugging Face transformers, integrations/bitnet.py,
// pack_weights and unpack_weights): bits 2i..2i+1 of byte (r, c) hold value + 1 of row i*R + r, with R =
// ceil(rows / 4). Four rows that lie R apart share a byte, not four neighbours. Code 3 is invalid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace rotor {

constexpr size_t hf_packed_rows(size_t rows) {
  return (rows + 3) / 4;
}

/// `weights`: [rows, cols] of -1, 0, +1; `packed`: [hf_packed_rows(rows), cols].
/// Codes past the last row are 0, as in the reference. Throws Error naming row and column of a value that is
/// not ternary.
void hf_pack(std::span<const int8_t> weights, size_t rows, size_t cols, std::span<uint8_t> packed);

/// Packs what piece by piece is read: adds rows i*R + first, i*R + first + 1, ... of quarter i = 0..3 to the
/// packed rows from `first` on, which began as zeros. `packed`: at least as many bytes as `weights`, of -1,
/// 0, +1.
void hf_pack_quarter(std::span<const int8_t> weights, unsigned quarter, std::span<uint8_t> packed);

/// The inverse; codes past the last row are ignored. Throws Error naming row and column of a code 3.
void hf_unpack(std::span<const uint8_t> packed, size_t rows, size_t cols, std::span<int8_t> weights);
/// Rows first .. first + count - 1 alone; `weights`: [count, cols].
void hf_unpack_rows(std::span<const uint8_t> packed, size_t rows, size_t cols, size_t first, size_t count,
                    std::span<int8_t> weights);
/// The same rows as tiles (tiles.h), without a detour; `first` is a multiple of kTileRows. `tiles`:
/// tile_bytes(count, cols) bytes.
void hf_tile_rows(std::span<const uint8_t> packed, size_t rows, size_t cols, size_t first, size_t count,
                  std::span<uint8_t> tiles);

}  // namespace rotor
