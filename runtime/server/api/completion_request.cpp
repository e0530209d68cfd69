// Defaults are OpenAI's: sixteen tokens, one text.
#include "runtime/server/api/completion_request.h"

namespace rotor::runtime::server {
namespace {

constexpr int64_t kDefaultMaxTokens = 16;

/// What a text may begin with whose prompt is empty.
std::vector<text::TokenId> start_tokens(const ApiContext& context) {
  const LanguageModel& model = context.model();
  if (model.bos()) return {*model.bos()};
  if (!model.stop_tokens().empty()) return {model.stop_tokens().front()};
  return context.tokenizer().encode("\n", text::SpecialTokens::as_text);
}

}  // namespace

std::vector<Prompt> read_prompts(const OrderedJson& value, const std::string& param, size_t most,
                                 const ApiContext& context,
                                 const std::function<std::vector<text::TokenId>(const std::string&)>& read) {
  const auto is_text = value.is_string();
  const auto is_ids = value.is_array() && !value.empty() && value[0].is_number();
  if (!is_text && !value.is_array())
    refuse(param, "a text, an array of texts, or arrays of token ids", value);
  const OrderedJson list = is_text || is_ids ? OrderedJson::array({value}) : value;
  if (list.empty()) refuse(param, "expected at least one text, found none", "empty_array");
  if (list.size() > most) {
    refuse(param, cat("expected at most ", most, " texts, found ", list.size()), "array_above_max_length");
  }
  std::vector<Prompt> prompts;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string name = is_text || is_ids ? param : cat(param, "[", i, "]");
    if (list[i].is_string()) {
      const auto text = list[i].get<std::string>();
      prompts.push_back({read(text), text});
    } else {
      if (!list[i].is_array()) refuse(name, "a text or an array of token ids", list[i]);
      std::vector<text::TokenId> ids = context.read_tokens(list[i], name);
      std::string text = context.tokenizer().decode(ids);
      prompts.push_back({std::move(ids), std::move(text)});
    }
  }
  return prompts;
}

CompletionRequest read_completion_request(Fields& fields, const ApiContext& context) {
  const ApiLimits& limits = context.options().limits;
  CompletionRequest request;
  request.generation = read_generation(fields, context, kDefaultMaxTokens);
  const GenerationFields& generation = request.generation;
  const auto suffix = fields.text("suffix");
  if (suffix && !suffix->empty())
    refuse("suffix", "is not supported: this model goes on with texts, it fills none",
           "unsupported_parameter");
  request.echo = fields.boolean("echo").value_or(false);
  request.top_logprobs = fields.integer("logprobs", 0, limits.top_logprobs);
  if (request.echo && request.top_logprobs)
    refuse("echo", "cannot be with logprobs: those of prompts are not computed", "unsupported_parameter");
  request.best_of = fields.integer("best_of", 1, limits.choices).value_or(generation.n);
  if (request.best_of < generation.n)
    refuse("best_of", cat("expected at least n, which is ", generation.n, ", found ", request.best_of));
  if (request.best_of > generation.n && generation.stream)
    refuse("best_of", "cannot be above n in a stream: which text is best shows in the end");
  const auto special = fields.boolean("parse_special").value_or(true) ? text::SpecialTokens::parse
                                                                      : text::SpecialTokens::as_text;
  const bool add_special = fields.boolean("add_special_tokens").value_or(true);
  const auto read = [&](const std::string& text) {
    std::vector<text::TokenId> ids = context.encode_text(text, special, add_special);
    return ids.empty() ? start_tokens(context) : ids;
  };
  const OrderedJson& prompt = fields.need("prompt", "a text, an array of texts, or arrays of token ids");
  const auto most = static_cast<size_t>(std::max<int64_t>(limits.texts / request.best_of, 1));
  request.prompts = read_prompts(prompt, "prompt", most, context, read);
  for (const Prompt& one : request.prompts) context.check_prompt(one.ids, "prompt", 1);
  return request;
}

}  // namespace rotor::runtime::server
