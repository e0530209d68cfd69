// A chunk has all that came of a text since the last one.
#include "runtime/server/api/chat_answer.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "runtime/retrieval/citations.h"
#include "runtime/server/api/json_text.h"
#include "runtime/server/api/retrieval_fields.h"

namespace rotor::runtime::server {
namespace {

/// Mistral's templates want ids of nine letters and digits.
std::string call_id(ToolFormat format) {
  return format == ToolFormat::mistral ? random_id("", 9) : random_id("call_");
}

void append_call(std::string& out, const std::string& id, std::string_view name, std::string_view arguments) {
  out.append("\"id\":").append(json_string(id)).append(",\"type\":\"function\",\"function\":{\"name\":");
  append_json_string(out, name);
  out += ",\"arguments\":";
  append_json_string(out, arguments);
  out += "}}";
}

/// The members of a chunk's delta.
std::string delta_members(const std::vector<ToolDelta>& deltas, ToolFormat format) {
  using Kind = ToolDelta::Kind;
  std::string content;
  std::string calls;
  for (const ToolDelta& delta : deltas) {
    // What went out as a call cannot be taken back: its text follows, and no finish_reason speaks of it.
    if (delta.kind == Kind::content || (delta.kind == Kind::broken && !delta.is_cut)) content += delta.text;
    if (delta.kind != Kind::call && delta.kind != Kind::arguments) continue;
    calls += cat(calls.empty() ? "" : ",", "{\"index\":", delta.index, ",");
    if (delta.kind == Kind::call) {
      append_call(calls, call_id(format), delta.text, "");
    } else {
      calls += "\"function\":{\"arguments\":";
      append_json_string(calls, delta.text);
      calls += "}}";
    }
  }
  std::string members;
  if (!content.empty()) {
    members += "\"content\":";
    append_json_string(members, content);
  }
  if (!calls.empty())
    members.append(members.empty() ? "" : ",").append("\"tool_calls\":[").append(calls).append("]");
  return members;
}

class ChatStream {
 public:
  ChatStream(const ApiContext& context, const ChatRequest& request)
      : context_(context),
        has_logprobs_(request.top_logprobs.has_value()),
        include_usage_(request.generation.include_usage),
        begin_("data: " +
               answer_head(context, random_id("chatcmpl-"), "chat.completion.chunk",
                           request.generation.model.name) +
               ",\"choices\":["),
        end_(include_usage_ ? ",\"usage\":null}\n\n" : "}\n\n") {
    for (int64_t i = 0; i < request.generation.n; ++i) choices_.emplace_back(request, context.tools().format);
    has_begun_.resize(choices_.size());
    if (!request.retrieval) return;
    found_ = "," + retrieval_members(*request.retrieval, nullptr);
    num_sources_ = std::ssize(request.retrieval->sources);
    said_.resize(choices_.size());
  }

  bool take(std::string& out, size_t index, const BatchProgress& progress) {
    ChatChoice& choice = choices_[index];
    if (!has_begun_[index]) {
      has_begun_[index] = true;
      append(out, index, "\"role\":\"assistant\",\"content\":\"\"", {}, "", std::exchange(found_, ""));
    }
    const std::string members = delta_members(choice.take(progress), context_.tools().format);
    if (num_sources_ > 0) said_[index] += progress.text;
    const bool shows_tokens = has_logprobs_ && !progress.tokens.empty();
    if (!members.empty() || shows_tokens) append(out, index, members, progress.tokens, "");
    if (progress.finished || choice.done()) append(out, index, "", {}, choice.reason(progress), cited(index));
    return !choice.done();
  }

  void end(std::string& out, const BatchUsage& usage) const {
    if (include_usage_) out += begin_ + "],\"usage\":" + usage_json(usage) + "}\n\n";
    out += "data: [DONE]\n\n";
  }

 private:
  void append(std::string& out, size_t index, std::string_view members, const std::vector<BatchToken>& tokens,
              std::string_view reason, std::string_view more = "") {
    out.append(begin_).append("{\"index\":").append(std::to_string(index)).append(",\"delta\":{");
    out.append(members).append("},\"logprobs\":");
    if (has_logprobs_ && !tokens.empty()) {
      append_chat_logprobs(out, tokens, context_.tokenizer());
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":";
    out += reason.empty() ? "null" : json_string(reason);
    out.append("}]").append(more).append(end_);
  }

  /// The member of the last chunk of a choice that says which sources it names.
  std::string cited(size_t index) const {
    if (num_sources_ == 0) return "";
    std::string list;
    for (const int64_t number : retrieval::cited_sources(said_[index], num_sources_))
      list += cat(list.empty() ? "" : ",", number);
    return cat(",\"cited\":[", list, "]");
  }

  const ApiContext& context_;
  bool has_logprobs_;
  bool include_usage_;
  std::string begin_;  // of a chunk
  std::string end_;
  std::vector<ChatChoice> choices_;
  std::vector<bool> has_begun_;
  std::string found_;  // for the first chunk of all: the sources
  int64_t num_sources_ = 0;
  std::vector<std::string> said_;  // by each choice, if there are sources
};

class WholeChat {
 public:
  WholeChat(const ApiContext& context, const ChatRequest& request)
      : context_(context), request_(request), messages_(static_cast<size_t>(request.generation.n)) {
    for (size_t i = 0; i < messages_.size(); ++i) choices_.emplace_back(request, context.tools().format);
  }

  bool take(size_t index, BatchProgress& progress) {
    Message& message = messages_[index];
    for (ToolDelta& delta : choices_[index].take(progress)) add(message, delta);
    if (request_.top_logprobs) {
      std::ranges::move(progress.tokens, std::back_inserter(message.tokens));
    }
    if (progress.finished || choices_[index].done()) message.reason = choices_[index].reason(progress);
    return !choices_[index].done();
  }

  void end(std::string& out, const BatchUsage& usage) const {
    out += answer_head(context_, random_id("chatcmpl-"), "chat.completion", request_.generation.model.name);
    out += ",\"choices\":[";
    for (size_t i = 0; i < messages_.size(); ++i) append_choice(out, i);
    out += "],\"usage\":" + usage_json(usage);
    if (request_.retrieval) {
      std::string said;
      for (const Message& message : messages_) said.append(message.content).append("\n");
      const auto cited = retrieval::cited_sources(said, std::ssize(request_.retrieval->sources));
      out.append(",").append(retrieval_members(*request_.retrieval, &cited));
    }
    out += "}";
  }

 private:
  struct Message {
    std::string content;
    std::map<size_t, std::pair<std::string, std::string>> calls;  // name and arguments
    std::vector<BatchToken> tokens;
    std::string reason;
  };

  static void add(Message& message, const ToolDelta& delta) {
    switch (delta.kind) {
      case ToolDelta::Kind::content:
        message.content += delta.text;
        break;
      case ToolDelta::Kind::call:
        message.calls[delta.index].first = delta.text;
        break;
      case ToolDelta::Kind::arguments:
        message.calls[delta.index].second += delta.text;
        break;
      case ToolDelta::Kind::broken:
        message.calls.erase(delta.index);
        message.content += delta.text;
        break;
    }
  }

  void append_choice(std::string& out, size_t index) const {
    const Message& message = messages_[index];
    out +=
        cat(index == 0 ? "" : ",", "{\"index\":", index, ",\"message\":{\"role\":\"assistant\",\"content\":");
    if (message.content.empty() && !message.calls.empty()) {
      out += "null";
    } else {
      append_json_string(out, message.content);
    }
    out += ",\"refusal\":null";
    if (!message.calls.empty()) {
      out += ",\"tool_calls\":[";
      for (const auto& [number, call] : message.calls) {
        out += out.back() == '[' ? "{" : ",{";
        append_call(out, call_id(context_.tools().format), call.first, call.second);
      }
      out += ']';
    }
    out += "},\"logprobs\":";
    if (request_.top_logprobs) {
      append_chat_logprobs(out, message.tokens, context_.tokenizer());
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":" + json_string(message.reason) + "}";
  }

  const ApiContext& context_;
  const ChatRequest request_;
  std::vector<ChatChoice> choices_;
  std::vector<Message> messages_;
};

}  // namespace

ChatChoice::ChatChoice(const ChatRequest& request, ToolFormat format) {
  if (request.tools.choice == ToolRequest::Choice::none) return;
  parser_ = std::make_unique<ToolCallParser>(format, request.tools.names, request.tools.several);
  parser_->push(request.call_prefix);
}

std::vector<ToolDelta> ChatChoice::take(const BatchProgress& progress) {
  if (parser_ == nullptr) {
    if (progress.text.empty()) return {};
    return {{ToolDelta::Kind::content, 0, progress.text}};
  }
  std::vector<ToolDelta> deltas = parser_->push(progress.text);
  is_done_ = parser_->done();
  if (progress.finished) std::ranges::move(parser_->finish(), std::back_inserter(deltas));
  return deltas;
}

std::string_view ChatChoice::reason(const BatchProgress& progress) const {
  if (done()) return "tool_calls";
  const std::string_view reason = finish_reason(progress);
  return reason == "stop" && parser_ != nullptr && parser_->calls() > 0 ? "tool_calls" : reason;
}

AnswerWriter stream_chat(const ApiContext& context, const ChatRequest& request) {
  auto stream = std::make_shared<ChatStream>(context, request);
  return {[stream](std::string& out, size_t index, BatchProgress& progress) {
            return stream->take(out, index, progress);
          },
          [stream](std::string& out, const BatchUsage& usage) { stream->end(out, usage); }};
}

AnswerWriter whole_chat(const ApiContext& context, const ChatRequest& request) {
  auto whole = std::make_shared<WholeChat>(context, request);
  return {
      [whole](std::string&, size_t index, BatchProgress& progress) { return whole->take(index, progress); },
      [whole](std::string& out, const BatchUsage& usage) { whole->end(out, usage); }};
}

}  // namespace rotor::runtime::server
