// What sentence-transformers keeps beside a Hugging Face checkpoint: which modules follow the encoder, how
// hidden states are pooled, how long texts may be.
#pragma once

#include <string>

#include "rotor/core/model_config.h"

namespace rotor {

/// Takes pooling, normalisation and max_seq_length from modules.json, <pooling>/config.json,
/// sentence_bert_config.json and tokenizer_config.json (model_max_length) of `directory`. Without
/// modules.json it is mean pooling and no normalisation, as sentence-transformers takes a plain BERT; without
/// a length the model's positions are the limit. Throws Error naming file and key for modules and poolings
/// that Rotor does not compute, and for files that do not fit together.
void read_sentence_transformers(const std::string& directory, BertConfig& config);

}  // namespace rotor
