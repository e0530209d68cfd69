// Reading: tokens as letters and merges as two tokens with a space between become a definition of byte-level
// BPE; tokens with scores and types become a serialized SentencePiece model.
#include "rotor/text/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <set>
#include <unordered_map>

#include "rotor/core/error.h"
#include "rotor/text/bpe_letters.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/gguf_pre_tokenizers.h"
#include "rotor/text/gguf_tokenizer_keys.h"
#include "rotor/text/sentencepiece.h"
#include "rotor/text/sentencepiece_model.h"

namespace rotor::text {
namespace {

using namespace gguf_key;

/// llama.cpp's for kind "llama", where a file has none.
constexpr TokenId kLlamaUnknown = 0;
constexpr TokenId kLlamaBos = 1;
constexpr TokenId kLlamaEos = 2;

/// The tokens of a file without the padding at their end.
struct Vocabulary {
  std::vector<std::string_view> tokens;
  std::vector<int64_t> types;
  std::unordered_map<std::string_view, TokenId> ids;
  size_t declared = 0;  // with the padding
};

Vocabulary read_vocabulary(const GgufFile& file) {
  Vocabulary vocabulary{.tokens = file.texts(kTokens), .types = {}, .ids = {}};
  auto& [tokens, types, ids, declared] = vocabulary;
  declared = tokens.size();
  types = file.has(kTypes) ? file.integers(kTypes) : std::vector<int64_t>(tokens.size(), kNormalToken);
  if (types.size() != tokens.size()) {
    fail(file.path(), ": key \"", kTypes, "\": expected ", tokens.size(), " types, found ", types.size());
  }
  while (!tokens.empty() && types.back() == kUnusedToken &&
         tokens.back() == padding_token(tokens.size() - 1)) {
    tokens.pop_back();
    types.pop_back();
  }
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (types[id] < kNormalToken || types[id] > kByteToken) {
      fail(file.path(), ": key \"", kTypes, "\": token ", id, ": expected a type from ", kNormalToken, " to ",
           kByteToken, ", found ", types[id]);
    }
    if (!ids.emplace(tokens[id], static_cast<TokenId>(id)).second) {
      fail(file.path(), ": key \"", kTokens, "\": token \"", tokens[id], "\" stands twice");
    }
  }
  return vocabulary;
}

/// Files of BitNet 2B4T name no pre-tokenizer; their vocabulary is Llama 3's.
bool is_llama3_vocabulary(const std::vector<std::string_view>& tokens) {
  return tokens.size() == 128256 && tokens[128000] == "<|begin_of_text|>";
}

const GgufPreTokenizer& read_pre_tokenizer(const GgufFile& file, const Vocabulary& vocabulary) {
  std::string name(file.has(kPre) ? file.text(kPre) : "");
  if (name.empty() && is_llama3_vocabulary(vocabulary.tokens)) name = "llama-bpe";
  const GgufPreTokenizer* found = find_pre_tokenizer(name);
  if (found == nullptr) {
    fail(file.path(), ": key \"", kPre, "\": expected one of ", pre_tokenizer_names(), ", found ",
         name.empty() ? "none" : cat('"', name, '"'));
  }
  return *found;
}

BpeDefinition read_bpe(const GgufFile& file) {
  const Vocabulary vocabulary = read_vocabulary(file);
  const GgufPreTokenizer& pre_tokenizer = read_pre_tokenizer(file, vocabulary);
  BpeDefinition definition;
  definition.split_pattern = pre_tokenizer.split_pattern;
  definition.ignore_merges = pre_tokenizer.ignore_merges;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string_view token = vocabulary.tokens[id];
    const int64_t type = vocabulary.types[id];
    if (type == kControlToken || type == kUserDefinedToken) {
      definition.specials.emplace_back(token, static_cast<TokenId>(id));
      definition.tokens.emplace_back(token);
    } else {
      definition.tokens.push_back(type == kUnusedToken ? "" : bytes_of_letters(token, file.path()));
    }
  }
  const auto id_of = [&](std::string_view token) {
    const auto found = vocabulary.ids.find(token);
    if (found == vocabulary.ids.end())
      fail(file.path(), ": key \"", kMerges, "\": \"", token, "\" is no token");
    return found->second;
  };
  for (const std::string_view merge : file.texts(kMerges)) {
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos) {
      fail(file.path(), ": key \"", kMerges, "\": expected two tokens, found \"", merge, "\"");
    }
    const std::string_view left = merge.substr(0, space);
    const std::string_view right = merge.substr(space + 1);
    definition.merges.push_back({id_of(left), id_of(right), id_of(cat(left, right))});
  }
  return definition;
}

/// User-defined tokens are kept as they stand in a text, pieces with the symbol for a space.
std::string piece_text(std::string_view token, int64_t type) {
  if (type != kUserDefinedToken) return std::string(token);
  std::string text;
  for (const char c : token) {
    if (c == ' ') {
      text += kSpaceSymbol;
    } else {
      text += c;
    }
  }
  return text;
}

/// Whether there are bytes at all; then there must be all 256.
bool check_bytes(const GgufFile& file, const Vocabulary& vocabulary) {
  std::set<std::string> spellings;
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::array<char, 8> text{};
    std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
    spellings.emplace(text.data());
  }
  size_t count = 0;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.types[id] != kByteToken) continue;
    if (!spellings.contains(std::string(vocabulary.tokens[id]))) {
      fail(file.path(), ": key \"", kTokens, "\": token ", id,
           ": expected a byte, <0x00> to <0xFF>, found \"", vocabulary.tokens[id], "\"");
    }
    ++count;
  }
  if (count != 0 && count != spellings.size()) {
    fail(file.path(), ": key \"", kTypes, "\": expected 256 tokens of type ", kByteToken, ", found ", count);
  }
  return count != 0;
}

/// The id under `key`, or what llama.cpp takes without one.
size_t special_id(const GgufFile& file, const char* key, int64_t without, const Vocabulary& vocabulary) {
  if (!file.has(key)) return static_cast<size_t>(without);
  const int64_t id = file.integer(key);
  if (id < 0 || static_cast<size_t>(id) >= vocabulary.declared) {
    fail(file.path(), ": key \"", key, "\": expected 0 to ", vocabulary.declared - 1, ", found ", id);
  }
  return static_cast<size_t>(id);
}

/// The unknown token. Some converters call it a control token as all special ones.
const SentencePieceModel::Piece& mark_unknown(const GgufFile& file, const Vocabulary& vocabulary,
                                              SentencePieceModel& model) {
  using Kind = SentencePieceModel::Kind;
  const auto count = std::ranges::count(vocabulary.types, int64_t{kUnknownToken});
  if (count == 0) {
    const size_t id = special_id(file, kUnknownId, kLlamaUnknown, vocabulary);
    if (id < model.pieces.size() && model.pieces[id].kind == Kind::control) {
      model.pieces[id].kind = Kind::unknown;
      return model.pieces[id];
    }
  }
  if (count != 1) {
    fail(file.path(), ": key \"", kTypes, "\": expected one token of type ", kUnknownToken, ", found ",
         count);
  }
  return *std::ranges::find(model.pieces, Kind::unknown, &SentencePieceModel::Piece::kind);
}

SentencePieceModel read_sentencepiece(const GgufFile& file) {
  using Kind = SentencePieceModel::Kind;
  const Vocabulary vocabulary = read_vocabulary(file);
  const std::vector<float> scores = file.floats(kScores);
  if (scores.size() < vocabulary.tokens.size()) {
    fail(file.path(), ": key \"", kScores, "\": expected ", vocabulary.tokens.size(), " scores, found ",
         scores.size());
  }
  SentencePieceModel model;
  model.type = SentencePieceModel::Type::bpe;
  model.byte_fallback = check_bytes(file, vocabulary);
  model.add_dummy_prefix = !file.has(kAddSpacePrefix) || file.boolean(kAddSpacePrefix);
  model.remove_extra_whitespaces = false;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (vocabulary.tokens[id].empty()) fail(file.path(), ": key \"", kTokens, "\": token ", id, " is empty");
    if (!std::isfinite(scores[id])) {
      fail(file.path(), ": key \"", kScores, "\": token ", id, ": expected a number, found ", scores[id]);
    }
    const int64_t type = vocabulary.types[id];
    model.pieces.push_back({piece_text(vocabulary.tokens[id], type), scores[id], static_cast<Kind>(type)});
  }
  model.unknown_piece = mark_unknown(file, vocabulary, model).text;
  const auto name = [&](const char* key, int64_t without, std::string& piece) {
    const size_t id = special_id(file, key, without, vocabulary);
    if (id < model.pieces.size() && model.pieces[id].kind == Kind::control) piece = model.pieces[id].text;
  };
  name(kBosId, kLlamaBos, model.bos_piece);
  name(kEosId, kLlamaEos, model.eos_piece);
  if (file.has(kPaddingId)) name(kPaddingId, 0, model.pad_piece);
  return model;
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const GgufFile& file) {
  if (!file.has(kModel)) return nullptr;
  const std::string_view kind = file.text(kModel);
  if (kind == "no_vocab") return nullptr;
  if (kind == "llama")
    return make_sentencepiece_tokenizer(write_sentencepiece_model(read_sentencepiece(file)), file.path());
  if (kind != "gpt2") {
    fail(file.path(), ": key \"", kModel,
         "\": expected gpt2 (byte-level BPE) or llama (SentencePiece), found \"", kind, "\"");
  }
  const BpeDefinition definition = read_bpe(file);
  try {
    return std::make_unique<ByteLevelBpe>(definition);
  } catch (const Error& e) {
    fail(file.path(), ": ", e.what());
  }
}

namespace {

/// One template, or all that the file names.
std::string chat_templates(const GgufFile& file) {
  std::vector<std::pair<std::string, std::string>> templates = {
      {"default", std::string(file.text(kChatTemplate))}};
  if (file.has(kChatTemplateNames)) {
    for (const std::string_view name : file.texts(kChatTemplateNames)) {
      if (name != "default") templates.emplace_back(name, file.text(cat(kChatTemplate, ".", name)));
    }
  }
  return join_templates(templates);
}

}  // namespace

TextMetadata gguf_text_metadata(const GgufFile& file) {
  const auto id = [&](const char* key, std::optional<TokenId> without) -> std::optional<TokenId> {
    if (!file.has(key)) return without;
    const int64_t value = file.integer(key);
    if (value < 0 || value > std::numeric_limits<TokenId>::max())
      fail(file.path(), ": key \"", key, "\": expected a token id, found ", value);
    return static_cast<TokenId>(value);
  };
  const bool has_defaults = file.has(kModel) && file.text(kModel) == "llama";
  TextMetadata text;
  if (!file.has(kAddBos) || file.boolean(kAddBos))
    text.bos_token = id(kBosId, has_defaults ? std::optional(kLlamaBos) : std::nullopt);
  for (const auto& stop :
       {id(kEosId, has_defaults ? std::optional(kLlamaEos) : std::nullopt), id(kEndOfTurnId, std::nullopt)}) {
    if (stop && std::ranges::find(text.stop_tokens, *stop) == text.stop_tokens.end())
      text.stop_tokens.push_back(*stop);
  }
  if (file.has(kChatTemplate)) text.chat_template = chat_templates(file);
  return text;
}

}  // namespace rotor::text
