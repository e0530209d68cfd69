// Ranges are OpenAI's where it has some, the sampler's elsewhere.
#include "runtime/server/api/generation_fields.h"

#include <charconv>
#include <limits>
#include <random>

#include "rotor/text/stream_decoder.h"

namespace rotor::runtime::server {
namespace {

constexpr int64_t kMany = std::numeric_limits<int32_t>::max();

void read_logit_bias(Fields& fields, const ApiContext& context, SamplerOptions& sampling) {
  const OrderedJson* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  const auto most = static_cast<size_t>(context.options().limits.logit_biases);
  if (biases->size() > most)
    refuse("logit_bias", cat("expected at most ", most, " tokens, found ", biases->size()));
  const int64_t vocab_size = context.model().vocab_size();
  for (const auto& [key, value] : biases->items()) {
    text::TokenId id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= vocab_size) {
      refuse("logit_bias",
             cat("expected token ids from 0 to ", vocab_size - 1, ", found ", quote_json(OrderedJson(key))));
    }
    const bool is_bias = value.is_number() && value.get<double>() >= -100.0 && value.get<double>() <= 100.0;
    if (!is_bias) refuse(cat("logit_bias.", key), "a number from -100 to 100", value);
    sampling.logit_bias[id] = value.get<float>();
  }
}

SamplerOptions read_sampling(Fields& fields, const ApiContext& context) {
  SamplerOptions sampling = context.options().sampling;
  const auto take = [](auto& target, const auto& value) {
    if (value) target = *value;
  };
  take(sampling.temperature, fields.number("temperature", 0.0, 2.0));
  take(sampling.top_p, fields.number("top_p", 0.0, 1.0));
  take(sampling.top_k, fields.integer("top_k", -1, kMany));
  if (sampling.top_k == -1) sampling.top_k = 0;  // vLLM's word for off
  take(sampling.min_p, fields.number("min_p", 0.0, 1.0));
  take(sampling.typical_p, fields.number("typical_p", 0.0, 1.0));
  take(sampling.repeat_penalty, fields.number("repetition_penalty", 0.01, 10.0));  // vLLM
  take(sampling.repeat_penalty, fields.number("repeat_penalty", 0.01, 10.0));      // llama.cpp
  take(sampling.repeat_last_n, fields.integer("repeat_last_n", -1, kMany));
  take(sampling.frequency_penalty, fields.number("frequency_penalty", -2.0, 2.0));
  take(sampling.presence_penalty, fields.number("presence_penalty", -2.0, 2.0));
  read_logit_bias(fields, context, sampling);
  if (const OrderedJson* seed = fields.find("seed"); seed != nullptr) {
    if (!seed->is_number_integer()) refuse("seed", "an integer", *seed);
    sampling.seed = seed->get<uint64_t>();
  } else {
    sampling.seed = (static_cast<uint64_t>(std::random_device{}()) << 32) | std::random_device{}();
  }
  return sampling;
}

constexpr size_t kMostStopBytes = 256;  // each new token is held against all of it

std::vector<std::string> read_stop(Fields& fields, const ApiLimits& limits) {
  const OrderedJson* stop = fields.find("stop");
  if (stop == nullptr) return {};
  const OrderedJson list = stop->is_array() ? *stop : OrderedJson::array({*stop});
  if (list.size() > static_cast<size_t>(limits.stop_strings))
    refuse("stop", cat("expected at most ", limits.stop_strings, " texts, found ", list.size()));
  std::vector<std::string> strings;
  for (const OrderedJson& text : list) {
    if (!text.is_string() || text.get_ref<const std::string&>().empty())
      refuse("stop", "a text or an array of texts, none of them empty", text);
    strings.push_back(text.get<std::string>());
    if (strings.back().size() > kMostStopBytes) {
      refuse("stop", cat("expected texts of at most ", kMostStopBytes, " bytes, found one of ",
                         strings.back().size()));
    }
  }
  return strings;
}

void read_response_format(Fields& fields, Constraint& constraint) {
  const OrderedJson* format = fields.find("response_format");
  if (format == nullptr) return;
  Fields parts(*format, "response_format");
  const std::string type = parts.need_text("type");
  constraint.param = "response_format";
  if (type == "text") return;
  if (type == "json_object") {
    constraint.kind = Constraint::Kind::json_object;
    // llama.cpp's form has a schema here.
    if (const OrderedJson* schema = parts.object("schema"); schema != nullptr) {
      constraint.kind = Constraint::Kind::json_schema;
      constraint.schema = *schema;
    }
    return;
  }
  if (type != "json_schema")
    refuse("response_format.type", "\"text\", \"json_object\" or \"json_schema\"", (*format)["type"]);
  parts.need("json_schema", "an object");
  Fields json_schema(*parts.object("json_schema"), "response_format.json_schema");
  static_cast<void>(json_schema.need_text("name"));
  static_cast<void>(json_schema.boolean("strict"));
  const OrderedJson& schema = json_schema.need("schema", "a JSON schema");
  if (!schema.is_object()) refuse("response_format.json_schema.schema", "a JSON schema", schema);
  constraint.kind = Constraint::Kind::json_schema;
  constraint.schema = schema;
  constraint.param = "response_format.json_schema.schema";
}

Constraint read_constraint(Fields& fields) {
  Constraint constraint;
  read_response_format(fields, constraint);
  const auto grammar = fields.text("grammar");
  if (!grammar || grammar->empty()) return constraint;
  if (constraint.kind != Constraint::Kind::none)
    refuse("grammar", "expected either a grammar or a response_format, found both");
  constraint.kind = Constraint::Kind::gbnf;
  constraint.grammar = *grammar;
  constraint.param = "grammar";
  return constraint;
}

void read_stream(Fields& fields, GenerationFields& generation) {
  generation.stream = fields.boolean("stream").value_or(false);
  if (const OrderedJson* options = fields.object("stream_options"); options != nullptr) {
    if (!generation.stream) refuse("stream_options", "is for streams only: set \"stream\": true");
    Fields parts(*options, "stream_options");
    generation.include_usage = parts.boolean("include_usage").value_or(false);
  }
}

int64_t read_max_tokens(Fields& fields, const ApiContext& context, int64_t default_max_tokens) {
  const auto old = fields.integer("max_tokens", 1, kMany);
  const auto limit = fields.integer("max_completion_tokens", 1, kMany);
  const int64_t wanted = limit.value_or(old.value_or(default_max_tokens));
  const int64_t most = context.options().limits.new_tokens;
  if (most < 0) return wanted;
  return wanted < 0 ? most : std::min(wanted, most);
}

}  // namespace

ConstraintMaker compile_constraint(const Constraint& constraint, const ApiContext& context) {
  using Kind = Constraint::Kind;
  if (constraint.kind == Kind::none) return {};
  const ConstraintFactory& factory = context.constraints(constraint.param);
  try {
    if (constraint.kind == Kind::json_object) return factory.any_json_object();
    if (constraint.kind == Kind::json_schema) return factory.from_json_schema(constraint.schema);
    return factory.from_gbnf(constraint.grammar);
  } catch (const Error& e) {
    refuse(constraint.param, e.what(), "invalid_grammar");
  }
}

GenerationFields read_generation(Fields& fields, const ApiContext& context, int64_t default_max_tokens) {
  GenerationFields generation;
  generation.model = context.choose_model(fields);
  generation.sampling = read_sampling(fields, context);
  generation.n = fields.integer("n", 1, context.options().limits.choices).value_or(1);
  generation.max_new_tokens = read_max_tokens(fields, context, default_max_tokens);
  generation.stop_strings = read_stop(fields, context.options().limits);
  generation.constraint = read_constraint(fields);
  generation.stop_tokens = context.model().stop_tokens();
  if (fields.boolean("ignore_eos").value_or(false)) {
    if (generation.constraint.kind != Constraint::Kind::none)
      refuse("ignore_eos", "cannot be with a grammar or a response_format, which end the text");
    for (const text::TokenId id : generation.stop_tokens) {
      if (id < context.model().vocab_size())
        generation.sampling.logit_bias[id] = -std::numeric_limits<float>::infinity();
    }
    generation.stop_tokens.clear();
  }
  read_stream(fields, generation);
  fields.ignore({"user", "store", "metadata", "service_tier", "prompt_cache_key", "safety_identifier",
                 "reasoning_effort", "verbosity", "cache_prompt", "id_slot"});
  return generation;
}

BatchRequest make_request(const GenerationFields& fields, const ConstraintMaker& constraint,
                          const ApiContext& context, std::vector<text::TokenId> prompt, int64_t index) {
  BatchRequest request;
  request.prompt = std::move(prompt);
  request.sampling = fields.sampling;
  request.sampling.seed += static_cast<uint64_t>(index);
  if (constraint) request.constraint = constraint();
  request.max_new_tokens = fields.max_new_tokens;
  request.stop_tokens = fields.stop_tokens;
  request.stop_strings = fields.stop_strings;
  request.adapters = fields.model.adapters;
  request.deadline = context.deadline();
  return request;
}

}  // namespace rotor::runtime::server
