// The CPU's memory for keys and values: [layer][page][head][token][head_dim], so that the tokens of a head in
// a page are one matrix; int8 codes have a float32 scale a token and head beside it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "rotor/kernels/kernels.h"
#include "runtime/backends/backend.h"

namespace rotor::runtime {

/// Some tokens' keys or values of one head: a matrix [tokens, head_dim], and a scale a row if it is int8.
struct HeadRows {
  uint8_t* rows;
  float* scales;
};

enum class KvKind : uint8_t { keys, values };

/// Keys or values of one head of a text.
class HeadOfText {
 public:
  HeadOfText(const KvCache& cache, KvKind kind, int64_t layer, int64_t head, std::span<const int32_t> pages);

  /// Those of tokens from `token` on, together up to the end of its page.
  HeadRows from(size_t token) const;
  /// How many tokens lie together at most, wherever one begins that is a multiple of it; no more than
  /// `wanted`.
  size_t chunk(size_t wanted) const { return one_page_ ? wanted : std::min(wanted, page_tokens_); }
  /// Keeps a token's.
  void store(const kernels::Kernels& kernels, size_t token, const float* values) const;

 private:
  uint8_t* rows_;  // of page 0
  float* scales_;
  KvType type_;
  bool one_page_;
  size_t width_;
  size_t page_tokens_;
  size_t page_rows_;  // from one page to the next
  std::span<const int32_t> pages_;
};

}  // namespace rotor::runtime
