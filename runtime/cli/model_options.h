// The flags that every command on a language model has.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/json.h"
#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime::cli {

struct ModelOptions {
  std::string path;
  LanguageModelOptions model;
  SessionOptions session;  ///< context 0: --ctx-size was not given
};

/// -t, --pin, --backend, --device, --gpu-layers, --gpu-memory, --kv, --activations, -b, --check, --adapter,
/// --any-base.
void add_model_options(cxxopts::Options& options, const std::string& default_kv);
/// --head-screening, of commands that draw tokens.
void add_head_screening_option(cxxopts::Options& options);
/// tool::parse_options() of a command with model options: reads -ngl, which cxxopts cannot, as --gpu-layers.
std::optional<cxxopts::ParseResult> parse_model_options(cxxopts::Options& options, int argc, char** argv,
                                                        const std::vector<std::string>& required,
                                                        const std::string& examples,
                                                        const std::vector<std::string>& optional = {});
/// "4G" and the like; K, M, G and T are powers of 1024. Throws Error naming the flag.
uint64_t read_size(const std::string& flag, const std::string& text);
/// Throws Error naming the flag, what is expected and what was found.
ModelOptions read_model_options(const cxxopts::ParseResult& parsed);

/// Says on stderr what runs the model, which has been placed, and which adapters it has.
void say_backend(const LanguageModel& model);
/// The same as JSON: `backend`, `device` (null: the machine's processor), `kernels`, `threads`, and
/// `gpu_layers`, 0 on the CPU; and `adapters`, each with `path`, `weight`, `layers`, `largest_rank` and
/// `bytes`.
Json backend_json(const LanguageModel& model);

/// Throws Error naming the model's file if it holds no tokenizer; `instead` says what to do.
const text::Tokenizer& need_tokenizer(const LanguageModel& model, const std::string& instead);

/// Reads a file whole. Throws Error naming it.
std::string read_text_file(const std::string& path);

}  // namespace rotor::runtime::cli
