// Trains SentencePiece models on plain text, through Google's library (Kudo and Richardson 2018,
// arXiv:1808.06226), so that text comes back exactly: nothing is normalised, spaces are kept as they are, new
// lines and tabs are tokens of their own, and no space is put in front. The one exception is U+2581, by which
// every SentencePiece model writes a space: it comes back as one.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace rotor::text {

struct SentencePieceOptions {
  std::string model_type = "unigram";  ///< unigram, bpe or char
  /// Tokens in all: <unk> 0, <s> 1, </s> 2, new line, tab, 256 bytes with byte_fallback, and pieces. A char
  /// model may have fewer, if the text has fewer characters; 0 there: as many as there are.
  int64_t vocab_size = 0;
  /// Characters that are no token become their UTF-8 bytes, so any text comes back; else <unk>.
  bool byte_fallback = true;
  /// The share of the text whose characters become tokens, the most frequent first: 0.98 to 1. Without a
  /// value 1 for char, else 0.9995.
  std::optional<double> character_coverage;
  /// Lines that are learnt from, of at most 4096 bytes (longer ones count as several): if there are more, as
  /// many by chance. They are held in memory, so this is what bounds it.
  int64_t max_sentences = 1'000'000;
  uint64_t seed = 1;     ///< of that choice
  bool verbose = false;  ///< the library's log on stderr
};

/// Gives the next text, of one or many lines, in its argument; false if there are no more.
using NextText = std::function<bool(std::string& text)>;

/// The lines of text files. Throws Error naming a file that cannot be read.
NextText read_lines(std::vector<std::string> paths);

/// Trains on `texts` and returns the serialized model. The same texts and options give the same bytes (one
/// thread). Throws Error saying which option to change to what if the texts do not suffice for it.
std::string train_sentencepiece(const SentencePieceOptions& options, const NextText& texts);

/// The same into a file, which appears whole or not at all: `path` is usually DIR/tokenizer.model.
void train_sentencepiece(const SentencePieceOptions& options, const NextText& texts, const std::string& path);

}  // namespace rotor::text
