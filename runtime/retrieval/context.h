// Search results as a model reads them: numbered sources before a question.
//
// Every line of a document begins with "> " and no line of ours does, so a document can forge neither a
// source nor the question, whatever it holds, and the same results always make the same prompt. What
// documents say about special tokens is not decided here: a prompt is encoded with text::TextGuard.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rag/chunker.h"
#include "runtime/rag/search.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::retrieval {

/// What a context begins and ends with; the question follows.
extern const char* const kContextBegin;
extern const char* const kContextEnd;

struct FoundSource {
  rag::StoredChunk chunk;
  std::optional<double> score;  ///< Source::score
};

struct Context {
  std::string text;  ///< "" if no source fits
  std::vector<Source> sources;
};

/// Sources in the order of `found`, [1] the first, as many as fit `budget` tokens by `count`:
///
///     kContextBegin
///     [1]
///     > Title, Heading
///     > a line of its text
///
///     [2]
///     ...
///
///     kContextEnd
///
/// Chunks of one section that overlap become one source, at the place of the better one. A source that
/// does not fit whole is cut behind a sentence, and is the last; it is left out if not even one sentence
/// fits.
Context make_context(std::vector<FoundSource> found, int64_t budget, const rag::CountTokens& count);

/// The lines of a text: \n, \r\n, \r, \v, \f, U+0085, U+2028 and U+2029 end one. Other control characters but
/// tabs are dropped, bytes that are no UTF-8 become U+FFFD. At least one line.
std::vector<std::string> plain_lines(std::string_view text);

}  // namespace rotor::runtime::retrieval
