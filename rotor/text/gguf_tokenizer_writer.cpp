// Writing: the other way around, with what llama.cpp's converter writes beside it, and refusals of what
// llama.cpp would read as another tokenizer.
#include <algorithm>
#include <unordered_set>

#include "rotor/core/error.h"
#include "rotor/text/bpe_letters.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/gguf_pre_tokenizers.h"
#include "rotor/text/gguf_tokenizer.h"
#include "rotor/text/gguf_tokenizer_keys.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/special_tokens.h"

namespace rotor::text {
namespace {

using namespace gguf_key;

using Values = std::vector<std::pair<std::string, GgufValue>>;

/// convert_hf_to_gguf.py's for tokens that are not there.
constexpr float kPaddingScore = -10000.0F;

Values bpe_values(const BpeDefinition& bpe, size_t vocab_size) {
  const char* pre_tokenizer = pre_tokenizer_name(bpe);
  if (pre_tokenizer == nullptr) {
    fail("byte-level BPE with split pattern \"", bpe.split_pattern, "\" and ignore_merges ",
         bpe.ignore_merges ? "true" : "false", ": GGUF has no name for it (it has ", pre_tokenizer_names(),
         ")");
  }
  std::vector<std::string> tokens = token_texts(bpe);
  std::vector<int32_t> types(tokens.size(), kNormalToken);
  for (const auto& special : bpe.specials) types[static_cast<size_t>(special.second)] = kControlToken;
  std::vector<std::string> merges;
  merges.reserve(bpe.merges.size());
  for (const auto& merge : bpe.merges) {
    merges.push_back(tokens[static_cast<size_t>(merge.left)] + ' ' +
                     tokens[static_cast<size_t>(merge.right)]);
  }
  tokens.resize(vocab_size);
  types.resize(vocab_size);
  for (size_t id = 0; id < vocab_size; ++id) {
    if (!tokens[id].empty()) continue;
    tokens[id] = padding_token(id);
    types[id] = kUnusedToken;
  }
  return {{kModel, "gpt2"},
          {kPre, pre_tokenizer},
          {kTokens, std::move(tokens)},
          {kTypes, std::move(types)},
          {kMerges, std::move(merges)}};
}

/// llama.cpp's kind "llama" merges by scores as SentencePiece's BPE does, with no other change of the text
/// than a space in front. A char model is one without merges.
void check_llama_can(const SentencePieceModel& model) {
  using Type = SentencePieceModel::Type;
  const auto refuse = [](const std::string& what) {
    fail("SentencePiece model with ", what,
         ": llama.cpp would give other ids (it knows BPE and char models that leave texts as they are)");
  };
  if (model.type != Type::bpe && model.type != Type::character)
    refuse(cat("model_type ", model.type == Type::unigram ? "unigram" : "word"));
  if (!model.charsmap.empty()) refuse("normalization rules");
  if (model.remove_extra_whitespaces) refuse("remove_extra_whitespaces");
  if (!model.escape_whitespaces) refuse("escape_whitespaces false");
  if (model.whitespace_is_suffix) refuse("treat_whitespace_as_suffix");
}

/// A user-defined piece as it stands in a text.
std::string user_defined_text(std::string_view piece) {
  std::string text;
  while (!piece.empty()) {
    const bool space = piece.starts_with(kSpaceSymbol);
    text += space ? ' ' : piece[0];
    piece.remove_prefix(space ? kSpaceSymbol.size() : 1);
  }
  return text;
}

Values sentencepiece_values(const SentencePieceModel& model, size_t vocab_size) {
  using Kind = SentencePieceModel::Kind;
  check_llama_can(model);
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;
  for (const auto& piece : model.pieces) {
    tokens.push_back(piece.kind == Kind::user_defined ? user_defined_text(piece.text) : piece.text);
    scores.push_back(piece.score);
    types.push_back(static_cast<int32_t>(piece.kind));
  }
  while (tokens.size() < vocab_size) {
    tokens.push_back(padding_token(tokens.size()));
    scores.push_back(kPaddingScore);
    types.push_back(kUnusedToken);
  }
  Values values = {{kModel, "llama"},
                   {kPre, "default"},
                   {kTokens, std::move(tokens)},
                   {kScores, std::move(scores)},
                   {kTypes, std::move(types)},
                   {kAddSpacePrefix, model.add_dummy_prefix}};
  if (const int32_t id = model.find(model.unknown_piece, Kind::unknown); id >= 0)
    values.emplace_back(kUnknownId, int64_t{id});
  if (const int32_t id = model.find(model.pad_piece, Kind::control); id >= 0)
    values.emplace_back(kPaddingId, int64_t{id});
  return values;
}

void check_distinct(const Values& values) {
  for (const auto& [key, value] : values) {
    if (key != kTokens) continue;
    std::unordered_set<std::string_view> seen;
    for (const std::string& token : std::get<std::vector<std::string>>(value)) {
      if (!seen.insert(token).second) fail("tokenizer: two tokens would be written \"", token, "\"");
    }
  }
}

/// The default one where every program looks for it, the others behind their names.
void add_chat_templates(const std::string& text, Values& values) {
  values.emplace_back(kChatTemplate, default_template(text));
  std::vector<std::string> names;
  for (const auto& [name, part] : named_templates(text, "chat template")) {
    if (name == "default") continue;
    names.push_back(name);
    values.emplace_back(cat(kChatTemplate, ".", name), part);
  }
  if (!names.empty()) values.emplace_back(kChatTemplateNames, std::move(names));
}

}  // namespace

std::vector<std::pair<std::string, GgufValue>> gguf_tokenizer_values(const Tokenizer& tokenizer,
                                                                     const TextMetadata& text,
                                                                     int64_t vocab_size) {
  if (vocab_size < tokenizer.vocab_size()) {
    fail("the tokenizer has ", tokenizer.vocab_size(), " tokens, the model a vocab_size of ", vocab_size);
  }
  const SpecialTokenIds special = special_token_ids(tokenizer, text, vocab_size);
  const auto size = static_cast<size_t>(vocab_size);
  const TokenizerDefinition definition = tokenizer.definition();
  if (std::holds_alternative<WordPieceDefinition>(definition))
    fail("a WordPiece tokenizer: GGUF files of ours hold byte-level BPE or SentencePiece");
  const auto* bpe = std::get_if<BpeDefinition>(&definition);
  Values values =
      bpe != nullptr
          ? bpe_values(*bpe, size)
          : sentencepiece_values(
                read_sentencepiece_model(std::get<SentencePieceDefinition>(definition).serialized), size);
  check_distinct(values);
  if (special.bos) values.emplace_back(kBosId, int64_t{*special.bos});
  if (special.eos) values.emplace_back(kEosId, int64_t{*special.eos});
  if (text.stop_tokens.size() > 1) values.emplace_back(kEndOfTurnId, int64_t{text.stop_tokens[1]});
  values.emplace_back(kAddBos, special.add_bos);
  if (text.chat_template) add_chat_templates(*text.chat_template, values);
  return values;
}

}  // namespace rotor::text
