// What a SentencePiece model file says, as far as encoding needs it (google/sentencepiece,
// sentencepiece_model.proto). It is read here because the library's interface does not give it, and written
// because other formats hold the same pieces without such a file.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rotor::text {

/// U+2581, by which pieces write a space.
inline constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";

struct SentencePieceModel {
  enum class Type : uint64_t { unigram = 1, bpe = 2, word = 3, character = 4 };
  /// GGUF has the same numbers.
  enum class Kind : uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0.0F;
    Kind kind = Kind::normal;
  };

  std::vector<Piece> pieces;  ///< by id
  Type type = Type::unigram;
  bool byte_fallback = false;
  bool whitespace_is_suffix = false;
  /// Texts of the pieces with these parts, if there are such: that of `unknown` kind and control pieces.
  std::string unknown_piece = "<unk>", bos_piece = "<s>", eos_piece = "</s>", pad_piece = "<pad>";
  std::string charsmap;  ///< rules of the normalizer; see sentencepiece_normalizer.h
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;

  /// The id of a piece by its text and kind; -1 if there is none.
  int32_t find(std::string_view text, Kind kind) const;
  /// Whether nothing becomes of a text before it is cut, except that spaces are written as symbols and one is
  /// put in front.
  bool leaves_texts_alone() const {
    return charsmap.empty() && !remove_extra_whitespaces && escape_whitespaces && !whitespace_is_suffix;
  }
};

/// Every field of a serialized model that a protobuf parser may take for the rules of a normalizer. Throws
/// Error if it is no message: another parser could go on where this one ends.
std::vector<std::string_view> find_charsmaps(std::string_view serialized);

/// Reads a serialized model. What is no message ends the reading without an error: the library is the judge
/// of files.
SentencePieceModel read_sentencepiece_model(std::string_view serialized);

/// Serializes a model. The library checks it when it loads it.
std::string write_sentencepiece_model(const SentencePieceModel& model);

}  // namespace rotor::text
