// POST /v1/chat/completions.
#include "runtime/server/api/chat_answer.h"
#include "runtime/server/api/chat_request.h"
#include "runtime/server/api/endpoints.h"
#include "runtime/server/api/retrieval_fields.h"

namespace rotor::runtime::server {

HttpResponse chat_completions(const ApiContext& context, const HttpRequest& http) {
  const OrderedJson body = parse_body(http.body);
  Fields fields(body);
  ChatRequest request = read_chat_request(fields, context);
  const auto wanted = read_retrieval(fields, context);
  context.note_unknown(fields);
  const GenerationFields& generation = request.generation;
  const ConstraintMaker constraint = compile_constraint(generation.constraint, context);
  if (wanted) {
    request.retrieval = find_sources(context, http, request, read_question(fields), *wanted);
    if (request.retrieval->used()) {
      request.prompt =
          read_chat_prompt(fields, context, request.tools, request.call_prefix, request.retrieval->context);
    }
  }
  auto group = std::make_shared<TextGroup>(context, http, generation.stream);
  for (int64_t i = 0; i < generation.n; ++i) {
    BatchRequest text = make_request(generation, constraint, context, request.prompt, i);
    text.top_logprobs = request.top_logprobs;
    group->add(std::move(text), i > 0);
  }
  AnswerWriter writer = generation.stream ? stream_chat(context, request) : whole_chat(context, request);
  return send_answer(http, std::move(group), generation.stream, std::move(writer));
}

}  // namespace rotor::runtime::server
