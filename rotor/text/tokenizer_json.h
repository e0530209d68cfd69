// tokenizer.json, the file of Hugging Face's tokenizers library, made from what defines a tokenizer.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rotor/formats/json.h"
#include "rotor/text/sentencepiece_model.h"
#include "rotor/text/tokenizer_definition.h"

namespace rotor::text {

/// The token that is put in front of every text, and its id.
using TextBegin = std::optional<std::pair<std::string, TokenId>>;

/// As Llama 3's, except that special tokens stand in the vocabulary too: there readers take their ids from
/// the file, while ids of added tokens alone are counted on from the vocabulary's size. Throws Error as
/// token_texts() does, and for a special token whose name is not valid UTF-8.
Json tokenizer_json(const BpeDefinition& bpe, const TextBegin& begin);

/// The same for BPE, char and unigram models that change a text no more than by a space in front; nothing for
/// others.
std::optional<Json> tokenizer_json(const SentencePieceModel& model, const TextBegin& begin);

}  // namespace rotor::text
