// The prompt of `rotor run`: from a text, a file or token ids, and cut to the context only when asked.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rotor/tool/options.h"
#include "runtime/engine/language_model.h"

namespace rotor::runtime::cli {

struct Prompt {
  std::vector<text::TokenId> ids;
  std::string text;             ///< what the user gave; empty for ids
  bool continues_text = false;  ///< whether there is text or there are ids that the new text goes on from
};

/// -p, -f, --tokens, --special, --no-bos, --truncate-prompt.
void add_prompt_options(cxxopts::Options& options);

/// At least one token: a text begins with the model's begin-of-text token, if it has one; an empty prompt is
/// that token alone, or else an end-of-text token or a newline. Throws Error saying what to give if there is
/// none of these, if a text is given to a model without tokenizer, or for an id out of range; UsageError if
/// two prompts are given.
Prompt read_prompt(const cxxopts::ParseResult& parsed, const LanguageModel& model);

/// Throws Error if the prompt has more than `context` tokens, unless --truncate-prompt is given: that keeps a
/// begin-of-text token and the last ones, so that `max_new_tokens` (-1: any number) fit too, but at least
/// half a context of them; it says so on stderr.
void fit_prompt(const cxxopts::ParseResult& parsed, const LanguageModel& model, int64_t context,
                int64_t max_new_tokens, Prompt& prompt);

}  // namespace rotor::runtime::cli
