// Buffered writing, mapped reading.
#include "train/data/token_shards.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"

namespace rotor::train {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are used as they lie in the file");

constexpr size_t kBufferBytes = size_t{1} << 18;

template <class Value>
std::span<const uint8_t> bytes_of(const std::vector<Value>& values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(Value)};
}

std::string file_checksum(const std::string& path) {
  const MappedFile file(path);
  std::string sum = checksum(file.bytes());
  file.check_intact();
  return sum;
}

MappedFile map_with_size(const std::string& path, int64_t expected_bytes) {
  MappedFile file(path);
  if (std::cmp_not_equal(file.bytes().size(), expected_bytes)) {
    fail(path, ": expected ", expected_bytes, " bytes, found ", file.bytes().size());
  }
  return file;
}

void compare_checksum(const MappedFile& file, const std::string& expected) {
  const std::string found = checksum(file.bytes());
  file.check_intact();
  if (found != expected) fail(file.path(), ": damaged: expected checksum ", expected, ", found ", found);
}

/// Copies ids of type Stored and returns the largest.
template <class Stored>
int64_t copy_tokens(const uint8_t* from, std::span<int64_t> to) {
  int64_t largest = -1;
  for (int64_t& token : to) {
    Stored stored;
    std::memcpy(&stored, from, sizeof(Stored));
    from += sizeof(Stored);
    token = stored;
    largest = std::max(largest, token);
  }
  return largest;
}

}  // namespace

std::string shard_path(const std::string& directory, const std::string& split, size_t shard) {
  char number[24];
  std::snprintf(number, sizeof number, "%05zu", shard);
  return cat(directory, "/", split, "-", number, ".bin");
}

std::string documents_path(const std::string& directory, const std::string& split) {
  return cat(directory, "/", split, ".documents");
}

SplitWriter::SplitWriter(std::string directory, std::string split, ShardFormat format,
                         std::optional<text::TokenId> bos, std::optional<text::TokenId> eos)
    : directory_(std::move(directory)),
      split_(std::move(split)),
      format_(format),
      bos_(bos),
      eos_(eos),
      documents_(documents_path(directory_, split_)) {}

void SplitWriter::append(std::span<const text::TokenId> tokens, int64_t text_bytes) {
  info_.text_bytes += text_bytes;
  if (tokens.empty()) return;
  if (document_is_empty_) {
    document_is_empty_ = false;
    document_buffer_.push_back(static_cast<uint64_t>(info_.tokens));
    ++info_.documents;
    if (document_buffer_.size() * sizeof(uint64_t) >= kBufferBytes) flush_documents();
    if (bos_) put(*bos_);
  }
  for (const text::TokenId token : tokens) put(token);
}

void SplitWriter::end_document() {
  if (!document_is_empty_ && eos_) put(*eos_);
}

void SplitWriter::put(text::TokenId token) {
  if (token < 0 || token >= format_.vocab_size) {
    fail("token id of the corpus: expected 0 to ", format_.vocab_size - 1, ", found ", token);
  }
  if (!shard_) {
    shard_ = std::make_unique<AtomicFile>(shard_path(directory_, split_, info_.shards.size()));
    shard_size_ = 0;
  }
  const auto id = static_cast<uint32_t>(token);
  for (int64_t b = 0; b < format_.token_bytes(); ++b) {
    token_buffer_.push_back(static_cast<uint8_t>(id >> (8 * b)));
  }
  ++info_.tokens;
  if (++shard_size_ == format_.shard_tokens) {
    finish_shard();
  } else if (token_buffer_.size() >= kBufferBytes) {
    flush_tokens();
  }
}

void SplitWriter::flush_tokens() {
  shard_->write(bytes_of(token_buffer_));
  token_buffer_.clear();
}

void SplitWriter::flush_documents() {
  documents_.write(bytes_of(document_buffer_));
  document_buffer_.clear();
}

void SplitWriter::finish_shard() {
  flush_tokens();
  shard_->commit();
  info_.shards.push_back({shard_size_, file_checksum(shard_->path())});
  shard_.reset();
}

SplitInfo SplitWriter::finish() {
  if (shard_) finish_shard();
  flush_documents();
  documents_.commit();
  info_.documents_checksum = file_checksum(documents_.path());
  return info_;
}

TokenSplit::TokenSplit(const std::string& directory, std::string name, ShardFormat format, SplitInfo info)
    : directory_(directory),
      name_(std::move(name)),
      format_(format),
      info_(std::move(info)),
      documents_(map_with_size(documents_path(directory, name_),
                               info_.documents * static_cast<int64_t>(sizeof(uint64_t)))) {
  for (size_t i = 0; i < info_.shards.size(); ++i) {
    shards_.push_back(
        map_with_size(shard_path(directory, name_, i), info_.shards[i].tokens * format_.token_bytes()));
  }
}

void TokenSplit::read(int64_t first, std::span<int64_t> tokens) const {
  if (first < 0 || std::cmp_greater(tokens.size(), info_.tokens) ||
      first > info_.tokens - static_cast<int64_t>(tokens.size())) {
    fail(directory_, ": tokens ", first, " to ", first + static_cast<int64_t>(tokens.size()) - 1, " of ",
         name_, " do not exist: it holds ", info_.tokens);
  }
  while (!tokens.empty()) {
    const auto index = static_cast<size_t>(first / format_.shard_tokens);
    const int64_t offset = first % format_.shard_tokens;
    const int64_t count =
        std::min<int64_t>(static_cast<int64_t>(tokens.size()), info_.shards[index].tokens - offset);
    const MappedFile& shard = shards_[index];
    const uint8_t* from = shard.bytes().data() + offset * format_.token_bytes();
    const auto part = tokens.first(static_cast<size_t>(count));
    const int64_t largest =
        format_.token_bytes() == 2 ? copy_tokens<uint16_t>(from, part) : copy_tokens<uint32_t>(from, part);
    shard.check_intact();
    if (largest >= format_.vocab_size) {
      fail(shard.path(), ": damaged: among tokens ", offset, " to ", offset + count - 1,
           ": expected ids below ", format_.vocab_size, ", found ", largest);
    }
    tokens = tokens.subspan(static_cast<size_t>(count));
    first += count;
  }
}

std::vector<int64_t> TokenSplit::document_starts(int64_t first, int64_t last) const {
  const std::span<const uint64_t> starts(reinterpret_cast<const uint64_t*>(documents_.bytes().data()),
                                         static_cast<size_t>(info_.documents));
  std::vector<int64_t> found;
  auto start = std::lower_bound(starts.begin(), starts.end(), static_cast<uint64_t>(first));
  for (; start != starts.end() && *start < static_cast<uint64_t>(last); ++start) {
    found.push_back(static_cast<int64_t>(*start));
    const bool in_order =
        found.back() >= first && (found.size() == 1 || found[found.size() - 2] < found.back());
    if (!in_order) fail(documents_.path(), ": damaged: the starts of documents are not in order");
  }
  documents_.check_intact();
  return found;
}

std::string TokenSplit::data_checksum() const {
  std::string all = cat(format_.token_bytes(), " ", info_.tokens, " ", info_.documents_checksum);
  for (const ShardInfo& shard : info_.shards) all += cat(" ", shard.checksum);
  return checksum({reinterpret_cast<const uint8_t*>(all.data()), all.size()});
}

void TokenSplit::verify() const {
  for (size_t i = 0; i < shards_.size(); ++i) compare_checksum(shards_[i], info_.shards[i].checksum);
  compare_checksum(documents_, info_.documents_checksum);
}

}  // namespace rotor::train
