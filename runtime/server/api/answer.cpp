// What came together is sent together: a stream costs one write a step of the batch.
#include "runtime/server/api/answer.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "rotor/text/stream_decoder.h"
#include "runtime/server/api/json_text.h"

namespace rotor::runtime::server {
namespace {

/// A stream that says nothing for so long says a comment: proxies keep it open then, and a client that is
/// gone is noticed.
constexpr std::chrono::seconds kSilence{10};
/// Nothing else is to be found in a log for a client that hung up (nginx's number).
constexpr int kClientGone = 499;

/// JSON has no infinity; OpenAI writes this for what can hardly be.
constexpr double kLeastLogprob = -9999.0;

void append_number(std::string& out, double value) {
  char text[32];
  const int length = std::snprintf(text, sizeof(text), "%.7g", std::max(value, kLeastLogprob));
  out.append(text, static_cast<size_t>(length));
}

void append_token(std::string& out, std::string_view bytes, double logprob) {
  out += "{\"token\":";
  append_json_string(out, bytes);
  out += ",\"logprob\":";
  append_number(out, logprob);
  out += ",\"bytes\":[";
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i > 0) out += ',';
    out += std::to_string(static_cast<unsigned char>(bytes[i]));
  }
  out += ']';
}

/// A token's text as a key: those that are parts of characters must stay different.
std::string token_name(std::string_view bytes) {
  if (text::valid_utf8_prefix(bytes) == bytes.size()) return std::string(bytes);
  std::string name = "bytes:";
  for (const char byte : bytes) {
    char text[8];
    std::snprintf(text, sizeof(text), "\\x%02x", static_cast<unsigned char>(byte));
    name += text;
  }
  return name;
}

void append_list(std::string& out, const char* name, const auto& items, const auto& append) {
  out.append(out.back() == '{' ? "\"" : ",\"").append(name).append("\":[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ',';
    append(items[i]);
  }
  out += ']';
}

std::string error_event(const ApiError& error) {
  return "data: " + error_json(error) + "\n\n";
}

/// What can go wrong while a stream runs, as an event of it.
void send_stream(TextGroup& group, const AnswerWriter& writer, const HttpWrite& write,
                 const std::function<bool()>& gone) {
  std::string out;
  Clock::time_point last = Clock::now();
  const auto flush = [&] {
    if (out.empty()) {
      if (Clock::now() - last < kSilence) return !gone();
      out = ":\n\n";
    }
    const bool sent = write(out);
    out.clear();
    last = Clock::now();
    return sent;
  };
  try {
    const auto take = [&](size_t index, BatchProgress& progress) {
      return writer.take(out, index, progress);
    };
    if (!group.wait({take, flush})) return;
    writer.end(out, group.usage());
  } catch (const ApiError& e) {
    out += error_event(e);
  } catch (const std::exception& e) {
    out += error_event(ApiError(500, e.what()));
  }
  write(out);
}

}  // namespace

std::string answer_head(const ApiContext& context, const std::string& id, const std::string& object,
                        const std::string& model) {
  return cat("{\"id\":", json_string(id), ",\"object\":", json_string(object),
             ",\"created\":", unix_seconds(std::chrono::system_clock::now()),
             ",\"model\":", json_string(model),
             ",\"system_fingerprint\":", json_string(context.fingerprint()));
}

std::string usage_json(const BatchUsage& usage) {
  return cat("{\"prompt_tokens\":", usage.prompt_tokens, ",\"completion_tokens\":", usage.completion_tokens,
             ",\"total_tokens\":", usage.prompt_tokens + usage.completion_tokens,
             ",\"prompt_tokens_details\":{\"cached_tokens\":", usage.cached_tokens, "}}");
}

std::string_view finish_reason(const BatchProgress& progress) {
  const bool is_stop =
      progress.stop_reason == StopReason::stop_token || progress.stop_reason == StopReason::stop_string;
  return is_stop ? "stop" : "length";
}

void append_chat_logprobs(std::string& out, const std::vector<BatchToken>& tokens,
                          const text::Tokenizer& tokenizer) {
  out += '{';
  append_list(out, "content", tokens, [&](const BatchToken& token) {
    append_token(out, token.bytes, token.logprob);
    out += ",\"top_logprobs\":[";
    for (const TokenLogprob& other : token.alternatives) {
      if (out.back() != '[') out += ',';
      append_token(out, tokenizer.token_bytes(other.id, false), other.logprob);
      out += '}';
    }
    out += "]}";
  });
  out += ",\"refusal\":null}";
}

void append_logprobs(std::string& out, const std::vector<BatchToken>& tokens,
                     const text::Tokenizer& tokenizer, size_t& offset) {
  out += '{';
  append_list(out, "tokens", tokens,
              [&](const BatchToken& token) { append_json_string(out, token_name(token.bytes)); });
  append_list(out, "token_logprobs", tokens,
              [&](const BatchToken& token) { append_number(out, token.logprob); });
  append_list(out, "top_logprobs", tokens, [&](const BatchToken& token) {
    out += '{';
    for (const TokenLogprob& other : token.alternatives) {
      if (out.back() != '{') out += ',';
      append_json_string(out, token_name(tokenizer.token_bytes(other.id, false)));
      out += ':';
      append_number(out, other.logprob);
    }
    out += '}';
  });
  append_list(out, "text_offset", tokens, [&](const BatchToken& token) {
    out += std::to_string(offset);
    offset += count_characters(token.bytes);
  });
  out += '}';
}

size_t count_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; }));
}

HttpResponse send_answer(const HttpRequest& request, std::shared_ptr<TextGroup> group, bool stream,
                         AnswerWriter writer) {
  group->start();
  HttpResponse response;
  if (stream) {
    response.content_type = "text/event-stream";
    response.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    response.stream = [group = std::move(group), writer = std::move(writer), gone = request.gone](
                          const HttpWrite& write) { send_stream(*group, writer, write, gone); };
    return response;
  }
  const auto take = [&](size_t index, BatchProgress& progress) {
    return writer.take(response.body, index, progress);
  };
  if (!group->wait({take, [&] { return !request.gone(); }})) {
    response.status = kClientGone;
    response.body.clear();
    return response;
  }
  writer.end(response.body, group->usage());
  return response;
}

}  // namespace rotor::runtime::server
