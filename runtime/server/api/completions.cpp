// POST /v1/completions: texts that go on from prompts, whole or as a stream of chunks. Choices of all prompts
// are numbered in one row.
#include <algorithm>
#include <iterator>
#include <memory>

#include "runtime/server/api/answer.h"
#include "runtime/server/api/completion_request.h"
#include "runtime/server/api/endpoints.h"
#include "runtime/server/api/json_text.h"

namespace rotor::runtime::server {
namespace {

class CompletionStream {
 public:
  CompletionStream(const ApiContext& context, const CompletionRequest& request)
      : context_(context),
        has_logprobs_(request.top_logprobs.has_value()),
        include_usage_(request.generation.include_usage),
        begin_("data: " +
               answer_head(context, random_id("cmpl-"), "text_completion", request.generation.model.name) +
               ",\"choices\":["),
        end_(include_usage_ ? "],\"usage\":null}\n\n" : "]}\n\n") {
    for (const Prompt& prompt : request.prompts) {
      for (int64_t i = 0; i < request.generation.n; ++i) {
        echo_.push_back(request.echo ? prompt.text : "");
        offsets_.push_back(0);
      }
    }
  }

  bool take(std::string& out, size_t index, const BatchProgress& progress) {
    out.append(begin_).append("{\"index\":").append(std::to_string(index)).append(",\"text\":");
    append_json_string(out, std::exchange(echo_[index], "") + progress.text);
    out += ",\"logprobs\":";
    if (has_logprobs_ && !progress.tokens.empty()) {
      append_logprobs(out, progress.tokens, context_.tokenizer(), offsets_[index]);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":";
    out += progress.finished ? json_string(finish_reason(progress)) : "null";
    out.append("}").append(end_);
    return true;
  }

  void end(std::string& out, const BatchUsage& usage) const {
    if (include_usage_) out += begin_ + "],\"usage\":" + usage_json(usage) + "}\n\n";
    out += "data: [DONE]\n\n";
  }

 private:
  const ApiContext& context_;
  bool has_logprobs_;
  bool include_usage_;
  std::string begin_;  // of a chunk
  std::string end_;
  std::vector<std::string> echo_;  // what goes before the first piece of each choice
  std::vector<size_t> offsets_;    // of each choice's next token in its text
};

class WholeCompletion {
 public:
  WholeCompletion(const ApiContext& context, CompletionRequest request)
      : context_(context),
        request_(std::move(request)),
        texts_(request_.prompts.size() * static_cast<size_t>(request_.best_of)) {}

  bool take(size_t index, BatchProgress& progress) {
    Text& text = texts_[index];
    text.text += progress.text;
    for (const BatchToken& token : progress.tokens) text.logprob += token.logprob;
    text.num_tokens += progress.tokens.size();
    if (request_.top_logprobs) std::ranges::move(progress.tokens, std::back_inserter(text.tokens));
    if (progress.finished) text.reason = finish_reason(progress);
    return true;
  }

  void end(std::string& out, const BatchUsage& usage) {
    out += answer_head(context_, random_id("cmpl-"), "text_completion", request_.generation.model.name);
    out += ",\"choices\":[";
    const auto best_of = static_cast<size_t>(request_.best_of);
    const auto n = static_cast<size_t>(request_.generation.n);
    for (size_t prompt = 0; prompt < request_.prompts.size(); ++prompt) {
      const std::span<Text> texts(texts_.data() + prompt * best_of, best_of);
      // By the mean over tokens, or short texts would always be the best.
      if (best_of > n) std::ranges::stable_sort(texts, std::greater(), &Text::mean_logprob);
      for (size_t i = 0; i < n; ++i) append_choice(out, prompt * n + i, texts[i], request_.prompts[prompt]);
    }
    out += "],\"usage\":" + usage_json(usage) + "}";
  }

 private:
  struct Text {
    std::string text;
    std::vector<BatchToken> tokens;
    double logprob = 0.0;
    size_t num_tokens = 0;
    std::string reason;

    double mean_logprob() const { return logprob / static_cast<double>(std::max<size_t>(num_tokens, 1)); }
  };

  void append_choice(std::string& out, size_t index, const Text& text, const Prompt& prompt) const {
    out += cat(index == 0 ? "" : ",", "{\"index\":", index, ",\"text\":");
    append_json_string(out, request_.echo ? prompt.text + text.text : text.text);
    out += ",\"logprobs\":";
    size_t offset = 0;
    if (request_.top_logprobs) {
      append_logprobs(out, text.tokens, context_.tokenizer(), offset);
    } else {
      out += "null";
    }
    out += ",\"finish_reason\":" + json_string(text.reason) + "}";
  }

  const ApiContext& context_;
  const CompletionRequest request_;
  std::vector<Text> texts_;
};

AnswerWriter make_writer(const ApiContext& context, const CompletionRequest& request) {
  if (request.generation.stream) {
    auto stream = std::make_shared<CompletionStream>(context, request);
    return {[stream](std::string& out, size_t index, BatchProgress& progress) {
              return stream->take(out, index, progress);
            },
            [stream](std::string& out, const BatchUsage& usage) { stream->end(out, usage); }};
  }
  auto whole = std::make_shared<WholeCompletion>(context, request);
  return {
      [whole](std::string&, size_t index, BatchProgress& progress) { return whole->take(index, progress); },
      [whole](std::string& out, const BatchUsage& usage) { whole->end(out, usage); }};
}

}  // namespace

HttpResponse completions(const ApiContext& context, const HttpRequest& http) {
  const OrderedJson body = parse_body(http.body);
  Fields fields(body);
  const CompletionRequest request = read_completion_request(fields, context);
  context.note_unknown(fields);
  const GenerationFields& generation = request.generation;
  const ConstraintMaker constraint = compile_constraint(generation.constraint, context);
  auto group = std::make_shared<TextGroup>(context, http, generation.stream);
  const bool needs_logprobs = request.best_of > generation.n;
  int64_t index = 0;
  for (const Prompt& prompt : request.prompts) {
    for (int64_t i = 0; i < request.best_of; ++i, ++index) {
      BatchRequest text = make_request(generation, constraint, context, prompt.ids, index);
      text.top_logprobs = request.top_logprobs;
      if (needs_logprobs && !text.top_logprobs) text.top_logprobs = 0;
      group->add(std::move(text), i > 0);
    }
  }
  return send_answer(http, std::move(group), generation.stream, make_writer(context, request));
}

}  // namespace rotor::runtime::server
