// Cuts documents into chunks: along their structure where it fits, else between sentences, words or
// characters, and then with an overlap, so that what was cut apart stands together once.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "runtime/rag/document.h"

namespace rotor::runtime::rag {

struct ChunkOptions {
  int64_t max_tokens = 256;  ///< of heading and text
  int64_t overlap_tokens =
      32;  ///< of a chunk that stand in the one before it, too, if both are of one section
  /// Throws Error naming what is wrong.
  void validate() const;
};

/// How many tokens a text has, for the model that will embed it.
using CountTokens = std::function<int64_t(std::string_view text)>;

/// A word and a half each: for bases without an embedding model.
int64_t estimate_tokens(std::string_view text);

/// No chunk has more than options.max_tokens by `count`, and each text of the document is in one at least.
/// The keys depend on contents alone, not on where in the document they stand.
std::vector<Chunk> make_chunks(const Document& document, const ChunkOptions& options,
                               const CountTokens& count);

}  // namespace rotor::runtime::rag
