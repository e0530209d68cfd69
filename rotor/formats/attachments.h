// What a .rotor file may hold besides the model: the tables of a tokenizer, and metadata on text
// (docs/file-format.md, "Tokenizer"). Names, types and shapes only: what the tables mean is in bpe_tables.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/safetensors.h"

namespace rotor {

/// Metadata keys.
namespace rotor_key {
inline constexpr const char* kTokenizer = "rotor.tokenizer";  // one of rotor_tokenizer
inline constexpr const char* kSplitPattern = "rotor.tokenizer.split_pattern";
inline constexpr const char* kNormalizer =
    "rotor.tokenizer.normalizer";  // one of rotor_normalizer, or absent
inline constexpr const char* kIgnoreMerges = "rotor.tokenizer.ignore_merges";  // "true" or "false"
inline constexpr const char* kWordPiece = "rotor.tokenizer.word_piece";  // JSON object of WordPieceSettings
inline constexpr const char* kChatTemplate = "rotor.chat_template";
inline constexpr const char* kStopTokens = "rotor.stop_tokens";  // JSON array of ids
inline constexpr const char* kBosToken = "rotor.bos_token";      // an id
}  // namespace rotor_key

/// Kinds of tokenizers.
namespace rotor_tokenizer {
inline constexpr const char* kByteLevelBpe = "byte_level_bpe";
inline constexpr const char* kSentencePiece = "sentencepiece";
inline constexpr const char* kWordPiece = "word_piece";
}  // namespace rotor_tokenizer

/// What is done to texts before byte-level BPE cuts them.
namespace rotor_normalizer {
inline constexpr const char* kNfc = "NFC";  // Unicode's normalization form C
}  // namespace rotor_normalizer

/// Tensors whose names start so belong to the tokenizer.
inline constexpr const char* kTokenizerPrefix = "tokenizer.";
/// A serialized SentencePiece model; those of byte-level BPE are in bpe_tables.h.
inline constexpr const char* kSentencePieceTensor = "tokenizer.model";

struct AttachedTensor : TensorDeclaration {
  std::vector<uint8_t> data;
};

/// What RotorWriter puts behind the model's tensors, and its metadata. Tokenizer::attachments() makes one.
struct RotorAttachments {
  std::vector<AttachedTensor> tensors;
  Metadata metadata;

  void set_chat_template(const std::string& text) { metadata[rotor_key::kChatTemplate] = text; }
  void set_bos_token(int32_t id);
  /// The ids at which generation ends.
  void set_stop_tokens(const std::vector<int32_t>& ids);
};

/// Longer words are not cut into pieces: that takes the square of their length.
inline constexpr int64_t kMostWordPieceCharacters = 1000;
inline constexpr size_t kMostWordPiecePrefixBytes = 64;

/// How a WordPiece tokenizer of BERT's kind works, beside its tokens. Names are those of Hugging Face's
/// tokenizer.json (BertNormalizer, WordPiece).
struct WordPieceSettings {
  bool clean_text = true;            ///< control characters are dropped, white space becomes spaces
  bool handle_chinese_chars = true;  ///< each is a word of its own
  bool strip_accents = true;
  bool lowercase = true;
  int64_t max_input_chars_per_word = 100;  ///< a longer word is unknown
  std::string continuing_subword_prefix = "##";
  int32_t unk_token = 0;  ///< ids
  int32_t cls_token = 0;
  int32_t sep_token = 0;
};

/// Metadata of a WordPiece tokenizer, and back. Throws Error naming `path`, key, expected and found.
std::string word_piece_settings_to_json(const WordPieceSettings& settings);
WordPieceSettings word_piece_settings(const std::string& path, const Metadata& metadata);

/// The text metadata of a file.
struct TextMetadata {
  std::string tokenizer;  ///< its kind; empty if the file holds none
  std::optional<std::string> chat_template;
  std::optional<int32_t> bos_token;
  std::vector<int32_t> stop_tokens;
};

/// Throws Error naming `path` and key for a value that is none.
TextMetadata text_metadata(const std::string& path, const Metadata& metadata);

/// Whether a metadata key is one of those above.
bool is_text_metadata(const std::string& key);

/// The lowest format version that has these text metadata: 2 with a normalizer, since a reader of version 1
/// would pass over it and give other ids, else 1.
int text_format_version(const Metadata& metadata);

/// Checks the text metadata, and that `tensors`, those whose names start with kTokenizerPrefix, are exactly
/// those of the kind of tokenizer, with their types and shapes. Throws Error naming `path`, tensor, expected
/// and found.
void check_attachments(const std::string& path, const Metadata& metadata,
                       const std::vector<TensorDeclaration>& tensors);

/// The tokenizer's tensors in a file.
std::vector<TensorDeclaration> tokenizer_tensors(const SafetensorsFile& file);

/// Reads a tokenizer's tables whole: one message a fault, at most `limit`; empty for sound ones and for a
/// file without tokenizer. `file` passed check_attachments().
std::vector<std::string> find_tokenizer_faults(const SafetensorsFile& file, size_t limit);

}  // namespace rotor
