// Token streams on disk: what a corpus became, as files that are mapped and never read as a whole. A split
// (`train` or `validation`) is one stream of tokens, document behind document, in files of equal length:
//
//   SPLIT-00000.bin, SPLIT-00001.bin, ...   shard_tokens ids each, fewer in the last; u16 if the vocabulary
//   has
//                                           at most 65536 ids, else u32
//   SPLIT.documents                         u64 for each document: the place of its first token in the stream
//
// Numbers are little-endian. The files have no headers: what they hold stands in the manifest
// (token_manifest.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/atomic_file.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/tokenizer.h"

namespace rotor::train {

struct ShardFormat {
  int64_t vocab_size = 0;
  int64_t shard_tokens = 0;

  /// 2 or 4.
  int64_t token_bytes() const { return vocab_size <= 65536 ? 2 : 4; }
};

struct ShardInfo {
  int64_t tokens = 0;
  std::string checksum;  ///< of the file's bytes (formats/checksum.h)
};

struct SplitInfo {
  int64_t documents = 0;
  int64_t tokens = 0;
  int64_t text_bytes = 0;  ///< of the text that became the tokens
  std::vector<ShardInfo> shards;
  std::string documents_checksum;
};

std::string shard_path(const std::string& directory, const std::string& split, size_t shard);
std::string documents_path(const std::string& directory, const std::string& split);

/// Writes a split. Files appear under their names when they are complete; nobody takes them for a split
/// before the manifest stands beside them.
class SplitWriter {
 public:
  /// `bos` and `eos`, if any, are put around each document. Throws Error if a file cannot be created.
  SplitWriter(std::string directory, std::string split, ShardFormat format, std::optional<text::TokenId> bos,
              std::optional<text::TokenId> eos);

  /// A document is begin_document(), any number of append(), end_document(). One without tokens leaves no
  /// trace. Throws Error for an id out of the vocabulary, and if a file cannot be written (a full disk, say).
  void begin_document() { document_is_empty_ = true; }
  void append(std::span<const text::TokenId> tokens, int64_t text_bytes);
  void end_document();

  /// Completes the files; the last call. Throws Error.
  SplitInfo finish();

 private:
  void put(text::TokenId token);
  void flush_tokens();
  void flush_documents();
  void finish_shard();

  std::string directory_;
  std::string split_;
  ShardFormat format_;
  std::optional<text::TokenId> bos_;
  std::optional<text::TokenId> eos_;
  SplitInfo info_;
  bool document_is_empty_ = true;
  std::unique_ptr<AtomicFile> shard_;
  int64_t shard_size_ = 0;  // tokens
  std::vector<uint8_t> token_buffer_;
  AtomicFile documents_;
  std::vector<uint64_t> document_buffer_;
};

/// Reads a split. Any number of threads may use one.
class TokenSplit {
 public:
  /// Maps the files. Throws Error if one is missing or has not the size that `info` says; their contents are
  /// not looked at.
  TokenSplit(const std::string& directory, std::string name, ShardFormat format, SplitInfo info);

  const std::string& name() const { return name_; }
  const std::string& directory() const { return directory_; }
  const SplitInfo& info() const { return info_; }

  /// Tokens first .. first + tokens.size() - 1 of the stream. Throws Error if that is out of range, if a
  /// shard was truncated in the meantime, or for an id out of the vocabulary (a damaged file).
  void read(int64_t first, std::span<int64_t> tokens) const;

  /// The places from first to last, last excluded, at which a document begins.
  std::vector<int64_t> document_starts(int64_t first, int64_t last) const;

  /// Changes when the tokens or their documents change; from `info`, without a look at the files.
  std::string data_checksum() const;

  /// Reads everything and compares checksums. Throws Error naming the damaged file.
  void verify() const;

 private:
  std::string directory_;
  std::string name_;
  ShardFormat format_;
  SplitInfo info_;
  std::vector<MappedFile> shards_;
  MappedFile documents_;
};

}  // namespace rotor::train
