// The flags that every command on a language model has, and token ids on a command line.
#pragma once

#include <string>
#include <vector>

#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime::cli {

struct ModelOptions {
  std::string path;
  LanguageModelOptions model;
  SessionOptions session;  ///< context 0: --ctx-size was not given
};

/// -t, --backend, --kv, --activations, -b, --check.
void add_model_options(cxxopts::Options& options, const std::string& default_kv);
/// Throws Error naming the flag, what is expected and what was found.
ModelOptions read_model_options(const cxxopts::ParseResult& parsed);

/// Says on stderr what runs the model.
void say_backend(const LanguageModel& model);

/// Throws Error naming the model's file if it holds no tokenizer; `instead` says what to do.
const text::Tokenizer& need_tokenizer(const LanguageModel& model, const std::string& instead);

/// Reads a file whole. Throws Error naming it.
std::string read_text_file(const std::string& path);

/// Token ids, separated by spaces or commas: "1 2 3". Throws Error naming `flag` and the one that is no id
/// from 0 to vocab_size - 1, or if there is none.
std::vector<text::TokenId> parse_token_ids(const std::string& flag, const std::string& text,
                                           int64_t vocab_size);

}  // namespace rotor::runtime::cli
