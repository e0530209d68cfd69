// Cutting files into pieces, and pieces into documents.
#include "train/data/text_source.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/stream_decoder.h"
#include "train/data/text_cut.h"

namespace rotor::train {
namespace {

constexpr const char* kJsonSpace = " \t\r\n";

/// The line of `text` that starts at `begin`, without its line break.
std::string_view line_at(std::string_view text, size_t begin) {
  return text.substr(begin, text.find('\n', begin) - begin);
}

bool is_blank(std::string_view line) {
  return line.find_first_not_of(kJsonSpace) == std::string_view::npos;
}

/// Byte int((1 - fraction) * bytes), moved back to the start of its character.
size_t split_position(std::string_view text, double validation_fraction) {
  const auto byte = static_cast<size_t>((1.0 - validation_fraction) * static_cast<double>(text.size()));
  return character_start(text, std::min(byte, text.size()));
}

/// `where` names the file, and the line of jsonl; `offset` is that of `text` in the file.
void check_utf8(std::string_view text, size_t offset, const std::string& where) {
  const size_t valid = text::valid_utf8_prefix(text);
  if (valid == text.size()) return;
  char byte[8];
  std::snprintf(byte, sizeof byte, "0x%02X", static_cast<unsigned>(static_cast<uint8_t>(text[valid])));
  fail(where, ": byte ", offset + valid, " of the file (", byte, ") is not valid UTF-8");
}

/// Lets go of the pages that lie wholly in `bytes` of a mapped file; who reads them again gets them again.
void release_pages(std::string_view bytes) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t begin = (address + page - 1) / page * page;
  const uintptr_t end = (address + bytes.size()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

TextSource::TextSource(std::vector<TextFile> files, TextSourceOptions options,
                       const text::Tokenizer& tokenizer)
    : files_(std::move(files)),
      options_(std::move(options)),
      tokenizer_(&tokenizer),
      one_document_(find_out_one_document()) {}

bool TextSource::find_out_one_document() const {
  int documents = 0;
  for (const TextFile& file : files_) {
    if (options_.format == TextFormat::text) {
      documents += file.file_bytes > 0 ? 1 : 0;
    } else {
      const MappedFile mapped(file.path);
      const std::string_view text = mapped.text();
      for (size_t begin = 0; begin < text.size() && documents < 2;) {
        const std::string_view line = line_at(text, begin);
        documents += is_blank(line) ? 0 : 1;
        begin += line.size() + 1;
      }
    }
    if (documents > 1) return false;
  }
  return documents == 1;
}

bool TextSource::open_next_file() {
  file_.reset();
  if (next_file_ == files_.size()) return false;
  const TextFile& listed = files_[next_file_++];
  file_ = std::make_shared<const MappedFile>(listed.path);
  if (std::cmp_not_equal(file_->bytes().size(), listed.file_bytes)) {
    fail(listed.path, ": the file was changed while the corpus was being tokenized; expected ",
         listed.file_bytes, " bytes, found ", file_->bytes().size());
  }
  position_ = 0;
  line_ = 1;
  const std::string_view text = file_->text();
  split_ = one_document_ ? split_position(text, options_.validation_fraction) : text.size();
  return true;
}

std::optional<TextPiece> TextSource::next() {
  while (!file_ || position_ >= file_->bytes().size()) {
    if (!open_next_file()) return std::nullopt;
  }
  return options_.format == TextFormat::text ? next_text() : next_lines();
}

TextPiece TextSource::next_text() {
  const std::string_view text = file_->text();
  TextPiece piece;
  piece.file = file_;
  piece.begin = position_;
  piece.is_only_document = one_document_;
  piece.is_validation = position_ >= split_;
  const std::string_view part = text.substr(0, piece.is_validation ? text.size() : split_);
  const TextCut cut = find_cut(part, position_ + skipped_, options_.piece_bytes, *tokenizer_);
  piece.skipped = skipped_;
  piece.end = cut.position;
  piece.begins_document = position_ == 0 || position_ == split_;
  piece.ends_document = cut.position == part.size();
  position_ = cut.position;
  skipped_ = cut.skipped;
  return piece;
}

TextPiece TextSource::next_lines() {
  const std::string_view text = file_->text();
  TextPiece piece;
  piece.file = file_;
  piece.begin = position_;
  piece.first_line = line_;
  piece.is_only_document = one_document_;
  const size_t line_end = text.find('\n', position_ + options_.piece_bytes - 1);
  piece.end = line_end == std::string_view::npos ? text.size() : line_end + 1;
  const std::string_view lines = text.substr(piece.begin, piece.end - piece.begin);
  line_ += std::count(lines.begin(), lines.end(), '\n');
  position_ = piece.end;
  return piece;
}

std::vector<DocumentPart> TextSource::encode(const TextPiece& piece) const {
  const std::string_view bytes = piece.file->text().substr(piece.begin, piece.end - piece.begin);
  std::vector<DocumentPart> parts;
  if (options_.format == TextFormat::text) {
    parts.push_back(encode_text(piece));
  } else {
    int64_t number = piece.first_line;
    for (size_t begin = 0; begin < bytes.size(); ++number) {
      const std::string_view line = line_at(bytes, begin);
      encode_line(piece, line, number, parts);
      begin += line.size() + 1;
    }
  }
  piece.file->check_intact();
  release_pages(bytes);
  return parts;
}

DocumentPart TextSource::encode_text(const TextPiece& piece) const {
  const std::string_view text = piece.file->text().substr(piece.begin, piece.end - piece.begin);
  check_utf8(text, piece.begin, piece.file->path());
  return {tokenizer_->encode(text.substr(piece.skipped), text::SpecialTokens::as_text),
          static_cast<int64_t>(text.size()), piece.begins_document, piece.ends_document, piece.is_validation};
}

void TextSource::encode_line(const TextPiece& piece, std::string_view line, int64_t number,
                             std::vector<DocumentPart>& parts) const {
  if (is_blank(line)) return;
  const std::string where = cat(piece.file->path(), ":", number);
  check_utf8(line, static_cast<size_t>(line.data() - piece.file->text().data()), where);
  const Json json = parse_json(line, where);
  if (!json.is_object()) fail(where, ": expected a JSON object, found ", quote_json(json));
  const auto field = json.find(options_.text_field);
  if (field == json.end()) {
    fail(where, ": expected a field \"", options_.text_field, "\", found ", quote_json(json));
  }
  if (!field->is_string()) {
    fail(where, ": field \"", options_.text_field, "\": expected a string, found ", quote_json(*field));
  }
  const std::string_view text = field->get_ref<const std::string&>();
  if (!piece.is_only_document) return encode_document(text, false, parts);
  const size_t split = split_position(text, options_.validation_fraction);
  encode_document(text.substr(0, split), false, parts);
  encode_document(text.substr(split), true, parts);
}

void TextSource::encode_document(std::string_view text, bool is_validation,
                                 std::vector<DocumentPart>& parts) const {
  for (size_t begin = 0, skipped = 0; begin < text.size();) {
    const TextCut cut = find_cut(text, begin + skipped, options_.piece_bytes, *tokenizer_);
    const std::string_view piece = text.substr(begin + skipped, cut.position - begin - skipped);
    parts.push_back({tokenizer_->encode(piece, text::SpecialTokens::as_text),
                     static_cast<int64_t>(cut.position - begin), begin == 0, cut.position == text.size(),
                     is_validation});
    begin = cut.position;
    skipped = cut.skipped;
  }
}

}  // namespace rotor::train
