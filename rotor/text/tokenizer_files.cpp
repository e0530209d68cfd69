// The configuration that both kinds have beside tokenizer.json. transformers makes a tokenizer of its own for
// a tokenizer.model alone, of class LlamaTokenizer: in 5.23 it gives other ids for runs of spaces and knows
// no unigram models, so tokenizer.json is written for SentencePiece, too, and used as it stands.
#include "rotor/text/tokenizer_files.h"

#include <map>

#include "rotor/core/error.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/json.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/special_tokens.h"
#include "rotor/text/tokenizer_json.h"

namespace rotor::text {
namespace {

/// What both kinds say. `names`: of special tokens; transformers would make one of any other that is named.
Json tokenizer_config(const char* tokenizer_class, const std::map<TokenId, std::string>& names,
                      const SpecialTokenIds& special, const TextMetadata& text) {
  Json config = {{"tokenizer_class", tokenizer_class},
                 {"add_bos_token", special.add_bos},
                 {"add_eos_token", false},
                 {"clean_up_tokenization_spaces", false},
                 {"model_input_names", {"input_ids", "attention_mask"}}};
  const auto name = [&](const char* key, std::optional<TokenId> id) {
    if (id && names.contains(*id)) config[key] = names.at(*id);
  };
  name("bos_token", special.bos);
  name("eos_token", special.eos);
  if (text.chat_template) {
    const auto templates = named_templates(*text.chat_template, "chat template");
    const bool is_one = templates.size() == 1 && templates[0].first == "default";
    config["chat_template"] =
        is_one ? Json(templates[0].second) : parse_json(*text.chat_template, "chat template");
  }
  return config;
}

void write_json(const std::string& directory, const char* name, const Json& json, int indent) {
  write_file(directory + "/" + name, dump_json(json, indent) + "\n");
}

/// What is put in front of texts. `names`: as above.
TextBegin text_begin(const SpecialTokenIds& special, const std::map<TokenId, std::string>& names) {
  if (!special.add_bos) return std::nullopt;
  const auto name = names.find(*special.bos);
  if (name == names.end()) fail("begin-of-text token ", *special.bos, ": expected a special token");
  return TextBegin({name->second, name->first});
}

void write_bpe(const std::string& directory, const BpeDefinition& bpe, const SpecialTokenIds& special,
               const TextMetadata& text) {
  std::map<TokenId, std::string> names;
  for (const auto& [name, id] : bpe.specials) names[id] = name;
  write_json(directory, "tokenizer.json", tokenizer_json(bpe, text_begin(special, names)), -1);
  write_json(directory, "tokenizer_config.json",
             tokenizer_config("PreTrainedTokenizerFast", names, special, text), 2);
}

void write_sentencepiece(const std::string& directory, const std::string& serialized,
                         const SpecialTokenIds& special, const TextMetadata& text) {
  const SentencePieceModel model = read_sentencepiece_model(serialized);
  std::map<TokenId, std::string> names;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    if (model.pieces[id].kind == SentencePieceModel::Kind::control)
      names[static_cast<TokenId>(id)] = model.pieces[id].text;
  }
  const auto json = tokenizer_json(model, text_begin(special, names));
  Json config = tokenizer_config(json ? "PreTrainedTokenizerFast" : "LlamaTokenizer", names, special, text);
  config["legacy"] = false;
  config["add_prefix_space"] = model.add_dummy_prefix;
  config["unk_token"] = model.unknown_piece;
  if (model.find(model.pad_piece, SentencePieceModel::Kind::control) >= 0)
    config["pad_token"] = model.pad_piece;
  write_file(directory + "/tokenizer.model", serialized);
  if (json) write_json(directory, "tokenizer.json", *json, -1);
  write_json(directory, "tokenizer_config.json", config, 2);
}

}  // namespace

void write_tokenizer_files(const std::string& directory, const Tokenizer& tokenizer,
                           const TextMetadata& text) {
  const SpecialTokenIds special = special_token_ids(tokenizer, text, tokenizer.vocab_size());
  const TokenizerDefinition definition = tokenizer.definition();
  if (const auto* bpe = std::get_if<BpeDefinition>(&definition)) {
    write_bpe(directory, *bpe, special, text);
  } else if (std::holds_alternative<WordPieceDefinition>(definition)) {
    fail(directory,
         ": a WordPiece tokenizer is not written as files: copy those of the model that it came from");
  } else {
    write_sentencepiece(directory, std::get<SentencePieceDefinition>(definition).serialized, special, text);
  }
}

}  // namespace rotor::text
