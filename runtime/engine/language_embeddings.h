// Vectors of texts from a language model, as POST /v1/embeddings gives them: the mean of its last hidden
// states, brought to length 1. Sentence encoders, which are trained for that, are embedding_model.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "runtime/engine/batcher.h"
#include "runtime/engine/embedding_model.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime {

/// The vectors of `texts`, [texts, hidden_size]; `session` says how they are computed, its context is chosen.
/// Special tokens in a text are read as text. If `keep_going` ends it, only the vectors of the first texts
/// that are done. Throws Error naming the text, the first of which is `first_number`, for one without tokens
/// or with more than the model's max_position_embeddings, and if the model has no tokenizer.
std::vector<float> embed_by_language_model(const LanguageModel& model, const SessionOptions& session,
                                           std::span<const std::string> texts,
                                           const EmbeddingModel::KeepGoing& keep_going = {},
                                           std::vector<EmbeddedText>* details = nullptr,
                                           size_t first_number = 1);

}  // namespace rotor::runtime
