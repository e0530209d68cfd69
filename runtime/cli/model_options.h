// The flags that every command on a language model has.
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

/// -t, --pin, --backend, --kv, --activations, -b, --check.
void add_model_options(cxxopts::Options& options, const std::string& default_kv);
/// --head-screening, of commands that draw tokens.
void add_head_screening_option(cxxopts::Options& options);
/// Throws Error naming the flag, what is expected and what was found.
ModelOptions read_model_options(const cxxopts::ParseResult& parsed);

/// Says on stderr what runs the model.
void say_backend(const LanguageModel& model);

/// Throws Error naming the model's file if it holds no tokenizer; `instead` says what to do.
const text::Tokenizer& need_tokenizer(const LanguageModel& model, const std::string& instead);

/// Reads a file whole. Throws Error naming it.
std::string read_text_file(const std::string& path);

}  // namespace rotor::runtime::cli
