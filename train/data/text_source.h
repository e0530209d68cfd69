// Reads a text corpus piece by piece and tokenizes the pieces: reading on one thread, tokenizing on any.
// Files are mapped, and the pages of a piece are let go once it is tokenized, so memory does not grow with
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/mapped_file.h"
#include "rotor/text/tokenizer.h"
#include "train/data/text_files.h"

namespace rotor::train {

/// How a corpus becomes tokens.
struct TextSourceOptions {
  TextFormat format = TextFormat::text;
  std::string text_field;         ///< of jsonl
  size_t piece_bytes = 1U << 20;  ///< about what is tokenized at once; at least kMinPieceBytes
  /// Share of the text for validation if the corpus is one document: its end, from byte
  /// int((1 - fraction) * bytes) on, or from the start of the character that this byte is part of.
  double validation_fraction = 0.0;
};

/// Part of a text file (of one document), or whole lines of a JSONL file.
struct TextPiece {
  std::shared_ptr<const MappedFile> file;
  size_t begin = 0;  ///< bytes of the file
  size_t end = 0;
  size_t skipped = 0;      ///< of text: leading bytes not to be tokenized (text_cut.h)
  int64_t first_line = 1;  ///< of jsonl: the number of the line at `begin`
  bool is_only_document = false;
  bool is_validation = false;   ///< of text: beyond the split of the only document
  bool begins_document = true;  ///< of text
  bool ends_document = true;
};

/// Tokens of a document or of a part of it.
struct DocumentPart {
  std::vector<text::TokenId> tokens;
  int64_t text_bytes = 0;
  bool begins_document = true;
  bool ends_document = true;
  bool is_validation = false;  ///< beyond the split of the only document
};

class TextSource {
 public:
  /// `tokenizer` says where a document may be cut (text_cut.h); it must outlive this object. Throws Error if
  /// a file cannot be read.
  TextSource(std::vector<TextFile> files, TextSourceOptions options, const text::Tokenizer& tokenizer);

  /// Whether the corpus is one document: one file with text in it, one line that is not blank.
  bool is_one_document() const { return one_document_; }

  /// The pieces in order; nothing behind the last. Throws Error if a file cannot be read or was changed since
  /// it was listed.
  std::optional<TextPiece> next();

  /// The documents of a piece, or the part of one that it is. Any thread may call it. Throws Error naming
  /// file and byte of invalid UTF-8; file and line of what is no JSON, no object, or has no string in the
  /// text field.
  std::vector<DocumentPart> encode(const TextPiece& piece) const;

 private:
  bool find_out_one_document() const;
  bool open_next_file();
  TextPiece next_text();
  TextPiece next_lines();
  DocumentPart encode_text(const TextPiece& piece) const;
  void encode_line(const TextPiece& piece, std::string_view line, int64_t number,
                   std::vector<DocumentPart>& parts) const;
  void encode_document(std::string_view text, bool is_validation, std::vector<DocumentPart>& parts) const;

  std::vector<TextFile> files_;
  TextSourceOptions options_;
  const text::Tokenizer* tokenizer_;
  bool one_document_;

  size_t next_file_ = 0;
  std::shared_ptr<const MappedFile> file_;  // the one being read, up to position_
  size_t position_ = 0;
  size_t skipped_ = 0;
  size_t split_ = 0;  // of the only document
  int64_t line_ = 1;
};

}  // namespace rotor::train
