// Two files, and what both must have: [UNK], [CLS] and [SEP].
#include "rotor/text/word_piece_loader.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <unordered_map>

#include "rotor/core/error.h"

namespace rotor::text {
namespace {

constexpr size_t kMaxTokens = size_t{1} << 24;
constexpr size_t kMaxLeftOut = size_t{1} << 16;  // a short file does not make a long table

/// The boolean at `key`, or `fallback` if it is absent or null.
bool boolean_or(const Json& json, const char* key, bool fallback, const std::string& where) {
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return fallback;
  if (!found->is_boolean())
    fail(where, ": ", key, ": expected true, false or null, found ", quote_json(*found));
  return found->get<bool>();
}

std::string type_of(const Json& json) {
  return json.is_object() && json.contains("type") && json["type"].is_string()
             ? json["type"].get<std::string>()
             : "";
}

const Json& member(const Json& json, const char* key, const char* type, const std::string& path) {
  static const Json kNone;
  const auto found = json.find(key);
  const Json& value = found == json.end() ? kNone : *found;
  if (type_of(value) != type) fail(path, ": ", key, ": expected ", type, ", found ", quote_json(value));
  return value;
}

void read_normalizer(const Json& json, const std::string& path, WordPieceSettings& settings) {
  const std::string where = path + ": normalizer";
  const Json& normalizer = member(json, "normalizer", "BertNormalizer", path);
  settings.clean_text = boolean_or(normalizer, "clean_text", true, where);
  settings.handle_chinese_chars = boolean_or(normalizer, "handle_chinese_chars", true, where);
  settings.lowercase = boolean_or(normalizer, "lowercase", true, where);
  settings.strip_accents = boolean_or(normalizer, "strip_accents", settings.lowercase, where);
}

/// The ids of tokens by their texts.
using Ids = std::unordered_map<std::string, TokenId>;

TokenId id_of(const Ids& ids, const std::string& token, const char* what, const std::string& path) {
  const auto found = ids.find(token);
  if (found == ids.end())
    fail(path, ": ", what, ": expected a token of the vocabulary, found \"", token, "\"");
  return found->second;
}

/// Puts `token` at `id`; `most`: ids are below it.
void place(std::vector<std::string>& tokens, int64_t id, size_t most, const std::string& token,
           const std::string& path) {
  if (id < 0 || static_cast<uint64_t>(id) >= most)
    fail(path, ": token \"", token, "\": expected an id from 0 to ", most - 1, ", found ", id);
  const auto at = static_cast<size_t>(id);
  if (tokens.size() <= at) tokens.resize(at + 1);
  if (!tokens[at].empty())
    fail(path, ": token id ", id, " stands twice: \"", tokens[at], "\" and \"", token, "\"");
  tokens[at] = token;
}

int64_t integer(const Json& json, const char* what, const std::string& path) {
  if (!json.is_number_integer()) fail(path, ": ", what, ": expected an integer, found ", quote_json(json));
  return json.get<int64_t>();
}

Ids read_vocabulary(const Json& vocab, size_t num_added, const std::string& path,
                    std::vector<std::string>& tokens) {
  if (!vocab.is_object() || vocab.empty())
    fail(path, ": model.vocab: expected an object of tokens and ids, found ", quote_json(vocab));
  const size_t most = std::min(kMaxTokens - 1, vocab.size() + num_added + kMaxLeftOut);
  Ids ids;
  for (const auto& [token, json] : vocab.items()) {
    const int64_t id = integer(json, "model.vocab", path);
    if (token.empty()) fail(path, ": model.vocab: expected tokens with text, found \"\"");
    place(tokens, id, most, token, path);
    ids.emplace(token, static_cast<TokenId>(id));
  }
  return ids;
}

/// Special tokens may be added behind the vocabulary; others would be cut out of texts before words are.
void read_added_tokens(const Json& added, const std::string& path, WordPieceDefinition& definition,
                       Ids& ids) {
  if (!added.is_array()) fail(path, ": added_tokens: expected an array, found ", quote_json(added));
  const size_t most = std::min(kMaxTokens - 1, definition.tokens.size() + added.size() + kMaxLeftOut);
  for (const Json& token : added) {
    const auto text = token.at("content").get<std::string>();
    const int64_t id = integer(token.at("id"), "added_tokens", path);
    if (!token.value("special", false))
      fail(path, ": added token \"", text, "\": special: expected true, found false");
    const auto known = ids.find(text);
    if (known != ids.end() && known->second != id) {
      fail(path, ": added token \"", text, "\": expected the id that it has in the vocabulary, ",
           known->second, ", found ", id);
    }
    if (known == ids.end()) {
      place(definition.tokens, id, most, text, path);
      ids.emplace(text, static_cast<TokenId>(id));
    }
    definition.specials.emplace_back(text, static_cast<TokenId>(id));
  }
}

/// [CLS] and [SEP] of the post processor, or nothing if there is none.
std::optional<std::pair<std::string, std::string>> read_post_processor(const Json& json,
                                                                       const std::string& path) {
  const Json post = json.value("post_processor", Json());
  if (post.is_null()) return std::nullopt;
  if (type_of(post) == "BertProcessing")
    return std::pair{post.at("cls").at(0).get<std::string>(), post.at("sep").at(0).get<std::string>()};
  if (type_of(post) == "TemplateProcessing") {
    const Json& single = post.at("single");
    if (single.is_array() && single.size() == 3 && single[0].contains("SpecialToken") &&
        single[1].contains("Sequence") && single[2].contains("SpecialToken")) {
      return std::pair{single[0]["SpecialToken"].at("id").get<std::string>(),
                       single[2]["SpecialToken"].at("id").get<std::string>()};
    }
  }
  fail(path, ": post_processor: expected one that puts a token before and one behind a text, found ",
       quote_json(post));
}

WordPieceDefinition parse(const Json& json, const std::string& path) {
  const Json& model = json.at("model");
  WordPieceDefinition definition;
  WordPieceSettings& settings = definition.settings;
  read_normalizer(json, path, settings);
  static_cast<void>(member(json, "pre_tokenizer", "BertPreTokenizer", path));
  settings.continuing_subword_prefix = model.value("continuing_subword_prefix", "##");
  if (settings.continuing_subword_prefix.size() > kMostWordPiecePrefixBytes) {
    fail(path, ": model.continuing_subword_prefix: expected at most ", kMostWordPiecePrefixBytes,
         " bytes, found ", settings.continuing_subword_prefix.size());
  }
  if (model.contains("max_input_chars_per_word"))
    settings.max_input_chars_per_word =
        integer(model["max_input_chars_per_word"], "model.max_input_chars_per_word", path);
  if (settings.max_input_chars_per_word < 0 || settings.max_input_chars_per_word > kMostWordPieceCharacters) {
    fail(path, ": model.max_input_chars_per_word: expected 0 to ", kMostWordPieceCharacters, ", found ",
         settings.max_input_chars_per_word);
  }
  const Json added = json.value("added_tokens", Json::array());
  Ids ids = read_vocabulary(model.at("vocab"), added.size(), path, definition.tokens);
  read_added_tokens(added, path, definition, ids);
  settings.unk_token = id_of(ids, model.value("unk_token", "[UNK]"), "model.unk_token", path);
  const auto around = read_post_processor(json, path).value_or(std::pair{"[CLS]", "[SEP]"});
  settings.cls_token = id_of(ids, around.first, "post_processor", path);
  settings.sep_token = id_of(ids, around.second, "post_processor", path);
  return definition;
}

/// Special tokens of a tokenizer_config.json, by their keys there.
std::map<std::string, std::string> special_texts(const Json& config, const std::string& path) {
  std::map<std::string, std::string> texts = {{"unk_token", "[UNK]"},
                                              {"cls_token", "[CLS]"},
                                              {"sep_token", "[SEP]"},
                                              {"pad_token", "[PAD]"},
                                              {"mask_token", "[MASK]"}};
  for (auto& [key, text] : texts) {
    if (!config.contains(key) || config[key].is_null()) continue;
    const Json& value = config[key];
    const Json content = value.is_object() ? value.value("content", Json()) : value;
    if (!content.is_string()) fail(path, ": ", key, ": expected a token, found ", quote_json(value));
    text = content.get<std::string>();
  }
  return texts;
}

Json tokenizer_config(const std::string& vocab_path, std::string& path) {
  path = (std::filesystem::path(vocab_path).parent_path() / "tokenizer_config.json").string();
  if (!std::filesystem::exists(path)) return Json::object();
  Json config = read_json_file(path);
  if (!config.is_object()) fail(path, ": expected an object, found ", quote_json(config));
  if (!boolean_or(config, "do_basic_tokenize", true, path))
    fail(path, ": do_basic_tokenize: expected true, found false");
  return config;
}

}  // namespace

bool is_word_piece_json(const Json& json) {
  return json.is_object() && json.contains("model") && type_of(json["model"]) == "WordPiece";
}

WordPieceDefinition read_word_piece_json(const Json& json, const std::string& path) {
  try {
    return parse(json, path);
  } catch (const Json::exception& e) {
    fail(path, ": not a tokenizer.json of WordPiece: ", e.what());
  }
}

WordPieceDefinition read_vocab_txt(std::string_view contents, const std::string& path) {
  WordPieceDefinition definition;
  Ids ids;
  while (!contents.empty()) {
    const size_t end = std::min(contents.find('\n'), contents.size());
    std::string_view line = contents.substr(0, end);
    contents.remove_prefix(std::min(end + 1, contents.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto id = static_cast<TokenId>(definition.tokens.size());
    definition.tokens.emplace_back(line);
    if (definition.tokens.size() >= kMaxTokens) fail(path, ": expected less than ", kMaxTokens, " tokens");
    if (line.empty()) continue;  // no word is empty
    if (const auto [known, is_new] = ids.emplace(line, id); !is_new) {
      fail(path, ":", id + 1, ": token \"", line, "\" stands in line ", known->second + 1, ", too");
    }
  }
  std::string config_path;
  const Json config = tokenizer_config(path, config_path);
  WordPieceSettings& settings = definition.settings;
  settings.lowercase = boolean_or(config, "do_lower_case", true, config_path);
  settings.strip_accents = boolean_or(config, "strip_accents", settings.lowercase, config_path);
  settings.handle_chinese_chars = boolean_or(config, "tokenize_chinese_chars", true, config_path);
  const auto texts = special_texts(config, config_path);
  settings.unk_token = id_of(ids, texts.at("unk_token"), "unk_token", path);
  settings.cls_token = id_of(ids, texts.at("cls_token"), "cls_token", path);
  settings.sep_token = id_of(ids, texts.at("sep_token"), "sep_token", path);
  for (const auto& [key, text] : texts) {
    const auto found = ids.find(text);
    if (found != ids.end()) definition.specials.emplace_back(text, found->second);
  }
  return definition;
}

}  // namespace rotor::text
