// Three sources, and what is known of BitNet 2B4T, whose published files are incomplete.
#include "rotor/text/model_text.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/text/gguf_tokenizer.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/special_tokens.h"

namespace rotor::text {
namespace {

constexpr int64_t kLlama3Vocabulary = 128256;
constexpr int32_t kLlama3EndOfTurn = 128009;
/// Each message as "Role: content" and an end of turn, without line breaks.
constexpr const char* k2b4tChatTemplate =
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}";

/// The model that was published as BitNet b1.58 2B4T, or one trained from it.
bool is_2b4t(const ModelConfig& config) {
  const TransformerConfig& t = config.transformer;
  return config.model_type == "bitnet" && t.hidden_act == Activation::relu2 &&
         t.vocab_size == kLlama3Vocabulary;
}

void add_stop_token(TextMetadata& text, int32_t id) {
  if (std::ranges::find(text.stop_tokens, id) == text.stop_tokens.end()) text.stop_tokens.push_back(id);
}

/// The special tokens of the model's config decide: a tokenizer may know a token that the model was not
/// trained on. Its end of text stops the generation where the config names none.
void take_special_tokens(const ModelConfig& config, ModelText& text) {
  const TransformerConfig& t = config.transformer;
  if (t.bos_token_id) text.metadata.bos_token = static_cast<int32_t>(*t.bos_token_id);
  for (const int64_t id : t.eos_token_ids) add_stop_token(text.metadata, static_cast<int32_t>(id));
  if (t.eos_token_ids.empty() && text.tokenizer != nullptr && text.tokenizer->eos()) {
    add_stop_token(text.metadata, *text.tokenizer->eos());
  }
}

void check_vocabulary(const Tokenizer& tokenizer, const ModelConfig& config, const std::string& file) {
  const int64_t vocab_size = config.is_encoder() ? config.bert.vocab_size : config.transformer.vocab_size;
  if (tokenizer.vocab_size() <= vocab_size) return;
  fail(file, ": the tokenizer has ", tokenizer.vocab_size(), " tokens, the model a vocab_size of ",
       vocab_size, ": it belongs to another model");
}

/// Hugging Face keeps them in tokenizer_config.json, one or a list of them with names, or, newer, in files of
/// their own.
std::optional<std::string> read_chat_template(const std::string& directory) {
  std::vector<std::pair<std::string, std::string>> templates;
  if (const std::string path = directory + "/chat_template.jinja"; std::filesystem::exists(path)) {
    templates.emplace_back("default", MappedFile(path).text());
  }
  if (const std::string more = directory + "/additional_chat_templates";
      std::filesystem::is_directory(more)) {
    for (const auto& entry : std::filesystem::directory_iterator(more)) {
      if (entry.path().extension() == ".jinja")
        templates.emplace_back(entry.path().stem().string(), MappedFile(entry.path().string()).text());
    }
    std::ranges::sort(templates);
  }
  if (!templates.empty()) return join_templates(templates);
  const std::string path = directory + "/tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json config = read_json_file(path);
  if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
  const Json& chat = config["chat_template"];
  if (chat.is_string()) return chat.get<std::string>();
  if (!chat.is_array())
    fail(path, ": chat_template: expected a string or an array, found ", quote_json(chat));
  return join_templates(named_templates(dump_json(chat), path + ": chat_template"));
}

/// Tokenizer and chat template, as far as there are such files.
ModelText text_of_files(const std::string& directory) {
  ModelText text;
  text.directory = directory;
  if (const std::string file = tokenizer_file(directory); !file.empty()) {
    text.tokenizer = load_tokenizer(file);
    text.metadata.tokenizer = text.tokenizer->kind();
  }
  text.metadata.chat_template = read_chat_template(directory);
  return text;
}

/// generation_config.json may name more ends than config.json: a chat model's end of turn.
void take_generation_config(const std::string& directory, int64_t vocab_size, TextMetadata& text) {
  const std::string path = directory + "/generation_config.json";
  if (!std::filesystem::exists(path)) return;
  const Json config = read_json_file(path);
  if (!config.is_object() || !config.contains("eos_token_id") || config["eos_token_id"].is_null()) return;
  const Json ids = config["eos_token_id"].is_array() ? config["eos_token_id"] : Json{config["eos_token_id"]};
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id >= vocab_size) {
      fail(path, ": eos_token_id: expected ids from 0 to ", vocab_size - 1, ", found ", quote_json(id));
    }
    add_stop_token(text, id.get<int32_t>());
  }
}

/// How a special token is written. SentencePiece's control tokens have no bytes in texts, but a name.
std::string special_token_text(const Tokenizer& tokenizer, TokenId id) {
  if (std::string text = tokenizer.token_bytes(id, false); !text.empty()) return text;
  const TokenizerDefinition definition = tokenizer.definition();
  const auto* pieces = std::get_if<SentencePieceDefinition>(&definition);
  return pieces == nullptr
             ? ""
             : read_sentencepiece_model(pieces->serialized).pieces.at(static_cast<size_t>(id)).text;
}

/// An encoder puts tokens around a text that only WordPiece names, and is of no use without.
ModelText encoder_text(const Checkpoint& checkpoint) {
  ModelText text;
  text.directory = checkpoint.directory();
  const std::string file = tokenizer_file(text.directory);
  if (file.empty())
    fail(text.directory, ": expected tokenizer.json or vocab.txt: a sentence encoder takes texts");
  text.tokenizer = load_tokenizer(file);
  if (text.tokenizer->kind() != rotor_tokenizer::kWordPiece) {
    fail(file, ": expected a WordPiece tokenizer for model_type bert, found ", text.tokenizer->kind());
  }
  text.metadata.tokenizer = text.tokenizer->kind();
  check_vocabulary(*text.tokenizer, checkpoint.config(), file);
  text.metadata.bos_token = text.tokenizer->bos();
  text.metadata.stop_tokens = {*text.tokenizer->eos()};
  return text;
}

}  // namespace

void ModelText::replace_chat_template(std::string text) {
  metadata.chat_template = std::move(text);
  template_replaced = true;
}

RotorAttachments ModelText::attachments() const {
  RotorAttachments attachments;
  if (tokenizer != nullptr) attachments = tokenizer->attachments();
  attachments.metadata.erase(rotor_key::kBosToken);
  attachments.metadata.erase(rotor_key::kStopTokens);
  if (metadata.bos_token) attachments.set_bos_token(*metadata.bos_token);
  if (!metadata.stop_tokens.empty()) attachments.set_stop_tokens(metadata.stop_tokens);
  if (metadata.chat_template) attachments.set_chat_template(*metadata.chat_template);
  return attachments;
}

ModelText model_text(const Checkpoint& checkpoint) {
  ModelText text;
  if (checkpoint.config().is_encoder()) return encoder_text(checkpoint);
  if (!checkpoint.config().is_transformer()) return text;
  text = text_of_files(checkpoint.directory());
  if (text.tokenizer != nullptr) {
    check_vocabulary(*text.tokenizer, checkpoint.config(), tokenizer_file(text.directory));
  }
  take_special_tokens(checkpoint.config(), text);
  take_generation_config(text.directory, checkpoint.config().transformer.vocab_size, text.metadata);
  return text;
}

ModelText adapter_text(const std::string& directory) {
  ModelText text = text_of_files(directory);
  if (text.tokenizer == nullptr) return text;
  take_generation_config(directory, text.tokenizer->vocab_size(), text.metadata);
  return text;
}

ModelText model_text(const GgufSource& source) {
  ModelText text;
  const GgufFile& file = source.file();
  text.metadata = gguf_text_metadata(file);
  text.tokenizer = tokenizer_of(file);
  if (text.tokenizer != nullptr) {
    check_vocabulary(*text.tokenizer, source.config(), file.path());
    text.metadata.tokenizer = text.tokenizer->kind();
  }
  if (is_2b4t(source.config())) {
    add_stop_token(text.metadata, kLlama3EndOfTurn);
    text.metadata.chat_template = k2b4tChatTemplate;
  }
  return text;
}

ModelText model_text(const RotorFile& file) {
  ModelText text;
  text.metadata = file.text();
  text.tokenizer = tokenizer_of(file);
  return text;
}

std::optional<ChatTemplate> chat_template(const ModelText& text, const std::string& model) {
  if (!text.metadata.chat_template) return std::nullopt;
  std::map<std::string, std::string> names;
  if (text.tokenizer != nullptr) {
    const Tokenizer& tokenizer = *text.tokenizer;
    const SpecialTokenIds ids = special_token_ids(tokenizer, text.metadata, tokenizer.vocab_size());
    if (ids.bos) names["bos_token"] = special_token_text(tokenizer, *ids.bos);
    if (ids.eos) names["eos_token"] = special_token_text(tokenizer, *ids.eos);
  }
  return ChatTemplate(*text.metadata.chat_template, model + ": chat template", std::move(names));
}

}  // namespace rotor::text
