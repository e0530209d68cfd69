// The tokenizer of a run: the one that its config names, or one that is trained on the run's own text.
#pragma once

#include <string>

#include "train/config/train_config.h"

namespace rotor::train {

/// The tokenizer's file: of config.tokenizer.path, or `<output_dir>/tokenizer.model`, which is that of the
/// run's last checkpoint or, without one, trained anew. Throws Error as rotor/text/tokenizer.h and
/// train_sentencepiece.h do.
std::string prepare_tokenizer(const TrainConfig& config);

/// Trains a SentencePiece model on the text of `config` and writes it to `path`.
void train_tokenizer(const TrainConfig& config, const std::string& path);

}  // namespace rotor::train
