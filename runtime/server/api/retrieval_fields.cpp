#include "runtime/server/api/retrieval_fields.h"

#include <algorithm>
#include <cstdio>

#include "runtime/server/api/json_text.h"

namespace rotor::runtime::server {
namespace {

using retrieval::Mode;
using retrieval::RetrievalOptions;
using retrieval::Source;

constexpr size_t kMostConditions = 16;
constexpr int64_t kProbedTokens = 8;

Mode read_mode(const OrderedJson& value, const std::string& param) {
  const auto mode = value.is_string() ? retrieval::parse_mode(value.get<std::string>()) : std::nullopt;
  if (!mode) refuse(param, "\"auto\", \"always\" or \"never\"", value);
  return *mode;
}

void read_members(const OrderedJson& object, const ApiContext& context, RetrievalOptions& options) {
  Fields fields(object, "retrieval");
  if (const OrderedJson* mode = fields.find("mode"); mode != nullptr)
    options.mode = read_mode(*mode, fields.param("mode"));
  options.count = fields.integer("count", 1, context.options().limits.sources).value_or(options.count);
  options.budget_tokens = fields.integer("budget", 1, context.context()).value_or(options.budget_tokens);
  options.min_score = fields.number("min_score", -1.0, 1.0).value_or(options.min_score);
  const OrderedJson* filter = fields.array("filter", kMostConditions);
  for (size_t i = 0; filter != nullptr && i < filter->size(); ++i) {
    const OrderedJson& condition = (*filter)[i];
    const std::string param = cat("retrieval.filter[", i, "]");
    if (!condition.is_string()) refuse(param, "a text", condition);
    // What the operator asks for stays.
    options.filter.push_back(condition.get<std::string>());
  }
  context.note_unknown(fields);
}

/// How unsure the model is of what it would say without sources; nothing if the client left.
std::optional<double> probe(const ApiContext& context, const HttpRequest& http, const ChatRequest& request) {
  BatchRequest text;
  text.prompt = request.prompt;
  text.sampling.temperature = 0.0;
  text.max_new_tokens = kProbedTokens;
  text.stop_tokens = context.model().stop_tokens();
  text.adapters = request.generation.model.adapters;
  text.deadline = context.deadline();
  text.entropy = true;
  const auto handed_in = context.submit(std::move(text));
  for (;;) {
    BatchProgress progress = handed_in->wait(std::chrono::milliseconds(100));
    if (progress.finished) {
      if (!progress.error.empty()) throw ApiError(500, progress.error, "", "generation_failed");
      return progress.entropy;
    }
    if (http.gone && http.gone()) return std::nullopt;  // whoever forgets a text cancels it
  }
}

/// Tokens that sources may take beside the prompt and an answer, of which at most a quarter of the context is
/// kept free; at most a third, as in rotor chat.
int64_t room_for_sources(const ApiContext& context, const ChatRequest& request) {
  const int64_t quarter = std::max<int64_t>(context.context() / 4, 1);
  const int64_t wanted = request.generation.max_new_tokens;
  const int64_t reserved = wanted < 0 ? quarter : std::min(wanted, quarter);
  return std::clamp<int64_t>(context.context() - reserved - std::ssize(request.prompt), 0,
                             context.context() / 3);
}

std::string number_or_null(int64_t number) {
  return number > 0 ? std::to_string(number) : "null";
}

std::string score_json(const std::optional<double>& score) {
  if (!score) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.4f", *score);
  return text;
}

std::string source_json(const Source& source, const std::vector<int64_t>* cited) {
  std::string out = cat("{\"number\":", source.number, ",\"title\":");
  append_json_string(out, source.title);
  out += ",\"source\":";
  append_json_string(out, source.source);
  out += ",\"heading\":";
  append_json_string(out, source.heading);
  out += cat(",\"line\":", number_or_null(source.line), ",\"page\":", number_or_null(source.page),
             ",\"score\":", score_json(source.score), ",\"text\":");
  append_json_string(out, source.text);
  if (cited != nullptr) {
    const bool is_cited = std::ranges::find(*cited, source.number) != cited->end();
    out += is_cited ? ",\"cited\":true" : ",\"cited\":false";
  }
  return out + "}";
}

}  // namespace

std::optional<RetrievalOptions> read_retrieval(Fields& fields, const ApiContext& context) {
  RetrievalOptions options = context.options().retrieval;
  const bool has_base = context.options().sources != nullptr;
  if (!has_base) options.mode = Mode::never;
  if (const OrderedJson* field = fields.find("retrieval"); field != nullptr) {
    if (!field->is_object() && !field->is_string())
      refuse("retrieval", "\"auto\", \"always\", \"never\" or an object", *field);
    if (field->is_string()) {
      options.mode = read_mode(*field, "retrieval");
    } else {
      if (!has_base) options.mode = Mode::automatic;  // as with a base, unless the object says otherwise
      read_members(*field, context, options);
    }
  }
  if (!has_base) {
    if (options.mode != Mode::never)
      refuse("retrieval", "this server has no knowledge base", "unsupported_parameter");
    return std::nullopt;
  }
  try {
    context.options().sources->check(options);
  } catch (const Error& e) {
    refuse("retrieval.filter", e.what());
  }
  return options;
}

retrieval::Retrieval find_sources(const ApiContext& context, const HttpRequest& http,
                                  const ChatRequest& request, const std::string& question,
                                  RetrievalOptions options) {
  options.budget_tokens = std::min(options.budget_tokens, room_for_sources(context, request));
  const auto limit = context.options().time_limit;
  if (limit.count() > 0) options.timeout = std::min(options.timeout, limit);
  retrieval::RetrievalRequest wanted;
  wanted.question = question;
  wanted.options = std::move(options);
  wanted.uncertainty = [&] { return probe(context, http, request); };
  wanted.keep_going = [&] { return !http.gone || !http.gone(); };
  retrieval::Retrieval found = context.options().sources->retrieve(wanted);
  if (context.options().retrieved) context.options().retrieved(found);
  return found;
}

std::string retrieval_members(const retrieval::Retrieval& retrieval, const std::vector<int64_t>* cited) {
  std::string out = cat("\"retrieval\":{\"used\":", retrieval.used() ? "true" : "false",
                        ",\"reason\":", json_string(retrieval.reason), "},\"sources\":[");
  for (const Source& source : retrieval.sources) {
    if (out.back() != '[') out += ',';
    out += source_json(source, cited);
  }
  return out + "]";
}

}  // namespace rotor::runtime::server
