// What the flags on prompts mean.
#include "runtime/cli/prompt.h"

#include <algorithm>
#include <cstdio>

#include "rotor/core/error.h"
#include "rotor/text/token_ids.h"
#include "runtime/cli/model_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kGiveTokens = "give token ids with --tokens \"1 2 3\"";

bool begins_with_bos(const LanguageModel& model, const std::vector<text::TokenId>& ids) {
  return model.bos().has_value() && !ids.empty() && ids.front() == *model.bos();
}

/// What a text may begin with that has no begin-of-text token.
std::vector<text::TokenId> start_tokens(const LanguageModel& model) {
  if (!model.stop_tokens().empty()) return {model.stop_tokens().front()};
  if (model.tokenizer() != nullptr) return model.tokenizer()->encode("\n", text::SpecialTokens::as_text);
  return {};
}

}  // namespace

void add_prompt_options(cxxopts::Options& options) {
  options.add_options("Prompt")("p,prompt", "text to go on from (default: none)",
                                cxxopts::value<std::string>())("f,prompt-file", "file of that text",
                                                               cxxopts::value<std::string>())(
      "tokens", "token ids instead of a text: \"1 2 3\"", cxxopts::value<std::string>())(
      "special", "parse special tokens in the text")("no-bos", "no begin-of-text token before the text")(
      "truncate-prompt", "cut a prompt that is longer than the context: keep its end");
}

Prompt read_prompt(const cxxopts::ParseResult& parsed, const LanguageModel& model) {
  if (parsed.count("prompt") + parsed.count("prompt-file") + parsed.count("tokens") > 1) {
    throw tool::UsageError("expected one of --prompt, --prompt-file, --tokens; see rotor run --help");
  }
  Prompt prompt;
  if (parsed.count("tokens") != 0) {
    prompt.ids = text::parse_token_ids("--tokens", parsed["tokens"].as<std::string>(), model.vocab_size());
    prompt.continues_text = true;
    return prompt;
  }
  if (parsed.count("prompt") != 0) prompt.text = parsed["prompt"].as<std::string>();
  if (parsed.count("prompt-file") != 0) prompt.text = read_text_file(parsed["prompt-file"].as<std::string>());
  if (!prompt.text.empty()) {
    const auto special =
        parsed.count("special") != 0 ? text::SpecialTokens::parse : text::SpecialTokens::as_text;
    prompt.ids = need_tokenizer(model, kGiveTokens).encode(prompt.text, special);
    prompt.continues_text = true;
  }
  const bool wants_bos = parsed.count("no-bos") == 0 && model.bos().has_value();
  if (wants_bos && !begins_with_bos(model, prompt.ids)) prompt.ids.insert(prompt.ids.begin(), *model.bos());
  if (prompt.ids.empty()) prompt.ids = start_tokens(model);
  if (prompt.ids.empty()) {
    fail(model.file().path(),
         ": no token to begin a text with is known, so the prompt cannot be empty: ", kGiveTokens);
  }
  return prompt;
}

void fit_prompt(const cxxopts::ParseResult& parsed, const LanguageModel& model, int64_t context,
                int64_t max_new_tokens, Prompt& prompt) {
  const auto size = static_cast<int64_t>(prompt.ids.size());
  if (size <= context) return;
  if (parsed.count("truncate-prompt") == 0) {
    fail("prompt: expected at most ", context, " tokens (the context), found ", size,
         "; shorten it, or keep its end alone with --truncate-prompt");
  }
  const int64_t reserved = max_new_tokens < 0 ? context / 2 : std::min(max_new_tokens, context / 2);
  const int64_t kept = context - reserved;
  const int64_t first = begins_with_bos(model, prompt.ids) && kept > 1 ? 1 : 0;
  prompt.ids.erase(prompt.ids.begin() + first, prompt.ids.end() - (kept - first));
  std::fprintf(stderr, "prompt cut from %lld to its last %lld tokens\n", static_cast<long long>(size),
               static_cast<long long>(kept));
}

}  // namespace rotor::runtime::cli
