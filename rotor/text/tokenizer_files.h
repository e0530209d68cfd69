// The tokenizer files of a Hugging Face directory, as transformers and llama.cpp's converter read them.
#pragma once

#include <string>

#include "rotor/formats/attachments.h"
#include "rotor/text/tokenizer.h"

namespace rotor::text {

/// Writes into an existing directory: byte-level BPE as tokenizer.json, SentencePiece as tokenizer.model and
/// also, if the model leaves texts as they are but for a space in front, as tokenizer.json, and either with a
/// tokenizer_config.json that holds the special tokens and the chat template. `text.bos_token`
/// is what texts begin with (without one the tokenizer's bos() is named, but not added), the first of
/// `text.stop_tokens`, or else eos(), ends them. All special tokens are written as special ones: Rotor's
/// files keep no other kind. load_tokenizer() on the directory gives the same ids. Throws Error for a token
/// id that is out of range, a begin-of-text token that is not special, and two tokens that would be written
/// alike.
void write_tokenizer_files(const std::string& directory, const Tokenizer& tokenizer,
                           const TextMetadata& text);

}  // namespace rotor::text
