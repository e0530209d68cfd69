// POST /v1/embeddings: a vector of length 1 for each text, the mean of the model's last hidden states.
#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "runtime/server/api/answer.h"
#include "runtime/server/api/completion_request.h"
#include "runtime/server/api/endpoints.h"
#include "runtime/server/api/json_text.h"

namespace rotor::runtime::server {
namespace {

/// RFC 4648.
std::string base64(std::string_view bytes) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j) {
      text += i + j <= bytes.size() ? kLetters[bits >> (18 - 6 * j) & 63U] : '=';
    }
  }
  return text;
}

std::string little_endian(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  return bytes;
}

void append_floats(std::string& out, const std::vector<float>& values) {
  out += '[';
  for (const float value : values) {
    if (out.back() != '[') out += ',';
    std::array<char, 32> text{};
    out.append(text.data(), static_cast<size_t>(
                                std::snprintf(text.data(), text.size(), "%.9g", static_cast<double>(value))));
  }
  out += ']';
}

bool read_is_base64(Fields& fields) {
  const std::string format = fields.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64")
    refuse("encoding_format", "\"float\" or \"base64\"", OrderedJson(format));
  return format == "base64";
}

/// A vector cut short means nothing unless the model was trained for that (Kusupati et al. 2022,
/// arXiv:2205.13147).
void check_dimensions(Fields& fields, int64_t hidden_size) {
  const auto dimensions = fields.integer("dimensions", 1, std::numeric_limits<int32_t>::max());
  if (dimensions && *dimensions != hidden_size)
    refuse("dimensions",
           cat("expected ", hidden_size, ", which this model's vectors have, found ", *dimensions));
}

}  // namespace

HttpResponse embeddings(const ApiContext& context, const HttpRequest& http) {
  const OrderedJson body = parse_body(http.body);
  Fields fields(body);
  const ModelChoice model = context.choose_model(fields);
  const bool is_base64 = read_is_base64(fields);
  check_dimensions(fields, context.model().config().hidden_size);
  fields.ignore({"user"});
  const auto read = [&](const std::string& text) {
    if (text.empty()) refuse("input", "expected texts that are not empty", "empty_string");
    return context.encode_text(text, text::SpecialTokens::as_text, true);
  };
  const OrderedJson& input = fields.need("input", "a text, an array of texts, or arrays of token ids");
  const auto most = static_cast<size_t>(context.options().limits.inputs);
  std::vector<Prompt> prompts = read_prompts(input, "input", most, context, read);
  for (const Prompt& prompt : prompts) context.check_prompt(prompt.ids, "input", 0);
  context.note_unknown(fields);

  auto group = std::make_shared<TextGroup>(context, http, false);
  for (Prompt& prompt : prompts) {
    BatchRequest text;
    text.prompt = std::move(prompt.ids);
    text.max_new_tokens = 0;
    text.embed = true;
    text.adapters = model.adapters;
    text.deadline = context.deadline();
    group->add(std::move(text));
  }
  std::vector<std::vector<float>> vectors(prompts.size());
  AnswerWriter writer;
  writer.take = [&](std::string&, size_t index, BatchProgress& progress) {
    if (!progress.finished) return true;
    if (progress.embedding.empty())
      throw ApiError(503, "the time limit was over before all vectors were there", "", "timeout");
    vectors[index] = std::move(progress.embedding);
    return true;
  };
  writer.end = [&](std::string& out, const BatchUsage& usage) {
    out += "{\"object\":\"list\",\"data\":[";
    for (size_t i = 0; i < vectors.size(); ++i) {
      out += cat(i == 0 ? "" : ",", "{\"object\":\"embedding\",\"index\":", i, ",\"embedding\":");
      if (is_base64) {
        append_json_string(out, base64(little_endian(vectors[i])));
      } else {
        append_floats(out, vectors[i]);
      }
      out += '}';
    }
    out += cat("],\"model\":", json_string(model.name), ",\"usage\":{\"prompt_tokens\":", usage.prompt_tokens,
               ",\"total_tokens\":", usage.prompt_tokens, "}}");
  };
  return send_answer(http, std::move(group), false, std::move(writer));
}

}  // namespace rotor::runtime::server
