// What the files of a model say of text: tokenizer, chat template, the tokens that begin and end it.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "rotor/formats/attachments.h"
#include "rotor/formats/checkpoint.h"
#include "rotor/formats/gguf_source.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/chat_template.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

struct ModelText {
  std::shared_ptr<const Tokenizer> tokenizer;  ///< nullptr: the model takes and gives ids
  TextMetadata metadata;
  std::string directory;  ///< a Hugging Face directory that holds all this in files; "" for other sources
  bool template_replaced = false;  ///< but for the chat template

  /// The adapter's or the user's own instead of the model's, also where `directory` is copied.
  void replace_chat_template(std::string text);
  /// The same for a .rotor file.
  RotorAttachments attachments() const;
};

/// Of a checkpoint directory: its tokenizer (tokenizer.json or tokenizer.model), the chat template
/// (chat_template.jinja and additional_chat_templates/*.jinja, or tokenizer_config.json), and the special
/// tokens of config.json and generation_config.json. Throws Error naming the file, also if the tokenizer has
/// more tokens than the model.
ModelText model_text(const Checkpoint& checkpoint);
/// Of a GGUF file's metadata; the tokenizer does not need the file any more. Files of BitNet 2B4T carry a
/// wrong chat template, which is replaced.
ModelText model_text(const GgufSource& source);
/// Of a .rotor file, which must outlive the tokenizer.
ModelText model_text(const RotorFile& file);

/// Of an adapter's directory, which may hold all that beside the adapter, as that of the chats that it
/// learnt.
ModelText adapter_text(const std::string& directory);

/// Writes all that into an existing directory, as transformers reads it: a Hugging Face directory's files are
/// copied, of other sources tokenizer_files.h makes them. Throws Error as that does.
void write_model_text(const ModelText& text, const std::string& directory);

/// The model's chat template, which knows the texts of its begin- and end-of-text tokens as bos_token and
/// eos_token; nothing if it has none. `model` names it in errors. Throws Error for a template that is broken.
std::optional<ChatTemplate> chat_template(const ModelText& text, const std::string& model);

}  // namespace rotor::text
