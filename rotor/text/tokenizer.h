// Text to token ids and back. Three kinds: byte-level BPE (Llama 3, BitNet 2B4T), SentencePiece (Llama 2) and
// WordPiece (BERT). A tokenizer is immutable and may be used by several threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rotor/text/tokenizer_definition.h"

namespace rotor {
class RotorFile;
struct RotorAttachments;
}  // namespace rotor

namespace rotor::text {

enum class SpecialTokens {
  as_text,  ///< "<|eot_id|>" in a text is ten ordinary characters: what users write cannot forge a control
            ///< token
  parse     ///< it is the token: for templates and prompts that the program itself wrote
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// "byte_level_bpe", "sentencepiece" or "word_piece".
  virtual std::string kind() const = 0;
  /// Ids are 0 to vocab_size() - 1.
  virtual int64_t vocab_size() const = 0;
  /// The tokens that begin and end a text, if there are such.
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  /// Token ids of `text`, with no begin-of-text token added. `text` need not be valid UTF-8: bytes that are
  /// not are encoded as the kind of tokenizer does (byte-level BPE: as they are).
  virtual std::vector<TokenId> encode(std::string_view text, SpecialTokens special) const = 0;
  /// The texts that SpecialTokens::parse takes for tokens; none unless a kind says so.
  virtual std::vector<std::pair<std::string, TokenId>> special_tokens() const { return {}; }
  /// The text of `ids`, special tokens included. Throws Error for an id out of range.
  virtual std::string decode(std::span<const TokenId> ids) const = 0;
  /// The bytes that a token adds behind `previous` ones (whether it is the first one matters to
  /// SentencePiece, which drops the leading space of a text). They may be part of a UTF-8 character: see
  /// StreamDecoder. Throws Error for an id out of range.
  virtual std::string token_bytes(TokenId id, bool first) const = 0;
  /// What RotorWriter puts into a .rotor file, for tokenizer_of() to use there: tables, kind, and bos() and
  /// eos() as begin-of-text and only stop token.
  virtual RotorAttachments attachments() const = 0;
  /// What makes this tokenizer when it is written in another format. Throws Error if its tables are damaged.
  virtual TokenizerDefinition definition() const = 0;
};

/// Loads a `tokenizer.json` of byte-level BPE or WordPiece, BERT's `vocab.txt` with the
/// `tokenizer_config.json` beside it, if there is one, a tiktoken-style `tokenizer.model` (ranks in base64;
/// with 128,000 of them Llama 3's special tokens follow), a SentencePiece `tokenizer.model`, or the tokenizer
/// of a .rotor file. The kind is told by the contents, vocab.txt by its name. In a directory it takes a
/// tokenizer.model of SentencePiece, else tokenizer.json, tokenizer.model or vocab.txt. Throws Error naming
/// the file and what is wrong with it.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

/// The tokenizer that `file` holds, which must outlive it; nullptr if there is none. Byte-level BPE and
/// WordPiece work on tables where they lie in the file, SentencePiece is parsed.
std::unique_ptr<Tokenizer> tokenizer_of(const RotorFile& file);

/// The file that load_tokenizer() takes in a directory; "" if it has none. Any other path as it is.
std::string tokenizer_file(const std::string& path);

/// The checksum of a tokenizer's file (rotor/formats/checksum.h), by which data made with it are known;
/// `path` as for load_tokenizer(), but no .rotor file.
std::string tokenizer_hash(const std::string& path);

}  // namespace rotor::text
