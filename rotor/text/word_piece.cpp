// Tokens are found in the hash table that byte-level BPE has, too; special ones are not in it.
#include "rotor/text/word_piece.h"

#include <algorithm>
#include <cstring>

#include "rotor/core/error.h"
#include "rotor/text/bert_words.h"

namespace rotor::text {
namespace {

/// Whether a byte begins a UTF-8 character.
bool begins_character(char byte) {
  return (static_cast<uint8_t>(byte) & 0xC0U) != 0x80U;
}

AttachedTensor words_tensor(const char* name, std::vector<int64_t> shape, std::span<const uint32_t> words) {
  AttachedTensor tensor;
  tensor.name = name;
  tensor.dtype = DType::u32;
  tensor.shape = std::move(shape);
  tensor.data.resize(words.size_bytes());
  if (!words.empty()) std::memcpy(tensor.data.data(), words.data(), words.size_bytes());
  return tensor;
}

}  // namespace

/// Tables built from a definition.
struct WordPiece::Memory {
  std::vector<uint8_t> token_bytes;
  std::vector<uint32_t> token_offsets;
  std::vector<uint32_t> token_index;
  std::vector<uint32_t> special_ids;

  explicit Memory(const WordPieceDefinition& definition) {
    const size_t count = definition.tokens.size();
    if (count == 0 || count >= BpeTables::kMaxTokens) {
      fail("WordPiece: expected 1 to ", BpeTables::kMaxTokens - 1, " tokens, found ", count);
    }
    token_offsets.push_back(0);
    for (const std::string& token : definition.tokens) {
      token_bytes.insert(token_bytes.end(), token.begin(), token.end());
      if (token_bytes.size() >= BpeTables::kNone) fail("WordPiece: the tokens take 4 GiB or more");
      token_offsets.push_back(static_cast<uint32_t>(token_bytes.size()));
    }
    special_ids = special_ids_of("WordPiece", definition.specials, definition.tokens);
    for (const TokenId id :
         {definition.settings.unk_token, definition.settings.cls_token, definition.settings.sep_token}) {
      if (id < 0 || static_cast<size_t>(id) >= count) {
        fail("WordPiece: expected ids of 0 to ", count - 1, " for [UNK], [CLS] and [SEP], found ", id);
      }
    }
    token_index = build_token_index(view());
  }

  BpeTables view() const { return {token_bytes, token_offsets, token_index, {}, {}, special_ids}; }
};

WordPiece::WordPiece(const WordPieceDefinition& definition)
    : memory_(std::make_unique<Memory>(definition)),
      tables_(memory_->view()),
      settings_(definition.settings) {
  take_ids();
}

WordPiece::WordPiece(std::shared_ptr<const RotorFile> file)
    : file_(std::move(file)),
      tables_(bpe_tables(file_->container())),
      settings_(word_piece_settings(file_->path(), file_->container().metadata())) {
  take_ids();
  check_intact();
}

WordPiece::~WordPiece() = default;

void WordPiece::take_ids() {
  specials_ = SpecialTokenTable(tables_);
  for (size_t id = 0; id < tables_.num_tokens(); ++id) {
    const size_t begin = tables_.token_offsets[id];
    const size_t end = tables_.token_offsets[id + 1];
    if (end > begin) longest_token_ = std::max(longest_token_, end - begin);
  }
}

void WordPiece::check_intact() const {
  if (file_ != nullptr) file_->check_intact();
}

std::vector<TokenId> WordPiece::encode(std::string_view text, SpecialTokens special) const {
  std::vector<TokenId> ids;
  const auto on_text = [&](std::string_view plain) { encode_plain(plain, ids); };
  if (special == SpecialTokens::parse) {
    specials_.split(text, on_text, [&](TokenId id) { ids.push_back(id); });
  } else {
    on_text(text);
  }
  check_intact();
  return ids;
}

void WordPiece::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  for_each_bert_word(text, settings_, [&](std::string_view word, size_t characters) {
    if (characters > static_cast<size_t>(settings_.max_input_chars_per_word)) {
      ids.push_back(settings_.unk_token);
    } else {
      encode_word(word, ids);
    }
  });
}

void WordPiece::encode_word(std::string_view word, std::vector<TokenId>& ids) const {
  const size_t first_id = ids.size();
  std::string rest;  // of the word, behind the prefix of tokens that go on one
  for (size_t begin = 0; begin < word.size();) {
    const size_t prefix = begin == 0 ? 0 : settings_.continuing_subword_prefix.size();
    rest = begin == 0 ? "" : settings_.continuing_subword_prefix;
    rest += word.substr(begin);
    uint32_t found = BpeTables::kNone;
    size_t end = std::min(rest.size(), std::max(longest_token_, prefix));
    for (; end > prefix; --end) {
      if (end < rest.size() && !begins_character(rest[end])) continue;
      found = tables_.find_token(std::string_view(rest).substr(0, end));
      if (found != BpeTables::kNone) break;
    }
    if (found == BpeTables::kNone) {
      ids.resize(first_id);
      ids.push_back(settings_.unk_token);
      return;
    }
    ids.push_back(static_cast<TokenId>(found));
    begin += end - prefix;
  }
}

std::vector<std::pair<std::string, TokenId>> WordPiece::special_tokens() const {
  auto result = specials_.copy();
  check_intact();
  return result;
}

std::string WordPiece::token_bytes(TokenId id, bool first) const {
  if (id < 0) fail("token id: expected 0 to ", vocab_size() - 1, ", found ", id);
  const std::string_view token = tables_.token(static_cast<uint32_t>(id));
  const std::string& prefix = settings_.continuing_subword_prefix;
  const bool goes_on = !prefix.empty() && token.starts_with(prefix);
  std::string bytes = first || goes_on ? "" : " ";
  bytes += goes_on && !first ? token.substr(prefix.size()) : token;
  check_intact();
  return bytes;
}

std::string WordPiece::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) text += token_bytes(ids[i], i == 0);
  return text;
}

RotorAttachments WordPiece::attachments() const {
  AttachedTensor bytes;
  bytes.name = kBpeTensors[0];
  bytes.dtype = DType::u8;
  bytes.shape = {std::ssize(tables_.token_bytes)};
  bytes.data.assign(tables_.token_bytes.begin(), tables_.token_bytes.end());
  RotorAttachments result;
  result.tensors.push_back(std::move(bytes));
  result.tensors.push_back(
      words_tensor(kBpeTensors[1], {std::ssize(tables_.token_offsets)}, tables_.token_offsets));
  result.tensors.push_back(
      words_tensor(kBpeTensors[2], {std::ssize(tables_.token_index) / 2, 2}, tables_.token_index));
  result.tensors.push_back(
      words_tensor(kBpeTensors[5], {std::ssize(tables_.special_ids)}, tables_.special_ids));
  result.metadata = {{rotor_key::kTokenizer, kind()},
                     {rotor_key::kWordPiece, word_piece_settings_to_json(settings_)}};
  result.set_bos_token(settings_.cls_token);
  result.set_stop_tokens({settings_.sep_token});
  check_intact();
  return result;
}

TokenizerDefinition WordPiece::definition() const {
  WordPieceDefinition definition;
  definition.settings = settings_;
  for (size_t id = 0; id < tables_.num_tokens(); ++id)
    definition.tokens.emplace_back(tables_.token(static_cast<uint32_t>(id)));
  definition.specials = special_tokens();
  return definition;
}

}  // namespace rotor::text
