// POST /tokenize and /detokenize, as clients of llama.cpp's server and of vLLM's send them.
#include "rotor/text/stream_decoder.h"
#include "runtime/server/api/chat_request.h"
#include "runtime/server/api/endpoints.h"

namespace rotor::runtime::server {
namespace {

HttpResponse json_response(const OrderedJson& json) {
  HttpResponse response;
  response.body = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return response;
}

/// With their texts, as llama.cpp has them: an array of bytes where they are no characters.
OrderedJson with_pieces(const std::vector<text::TokenId>& ids, const text::Tokenizer& tokenizer) {
  OrderedJson pieces = OrderedJson::array();
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string bytes = tokenizer.token_bytes(ids[i], i == 0);
    OrderedJson piece = bytes;
    if (text::valid_utf8_prefix(bytes) != bytes.size()) {
      piece = OrderedJson::array();
      for (const char byte : bytes) piece.push_back(static_cast<uint8_t>(byte));
    }
    pieces.push_back({{"id", ids[i]}, {"piece", std::move(piece)}});
  }
  return pieces;
}

std::vector<text::TokenId> read_text(Fields& fields, const ApiContext& context) {
  const auto prompt = fields.text("prompt");  // vLLM, which adds the begin-of-text token
  const auto content = fields.text("content");
  if (prompt.has_value() == content.has_value()) {
    refuse("content",
           cat("expected either content, prompt or messages, found ", prompt ? "two of them" : "none"));
  }
  const auto llama = fields.boolean("add_special");
  const auto vllm = fields.boolean("add_special_tokens");
  const bool add_special = llama.value_or(vllm.value_or(prompt.has_value()));
  const bool parse = fields.boolean("parse_special").value_or(true);
  return context.encode_text(prompt ? *prompt : *content,
                             parse ? text::SpecialTokens::parse : text::SpecialTokens::as_text, add_special);
}

}  // namespace

HttpResponse tokenize(const ApiContext& context, const HttpRequest& http) {
  const OrderedJson body = parse_body(http.body);
  Fields fields(body);
  static_cast<void>(context.choose_model(fields));
  std::vector<text::TokenId> ids;
  if (fields.find("messages") != nullptr) {
    ids = read_chat_prompt(fields, context, read_tools(fields, context.options().limits), "");
  } else {
    ids = read_text(fields, context);
  }
  const bool pieces = fields.boolean("with_pieces").value_or(false);
  context.note_unknown(fields);
  return json_response({{"tokens", pieces ? with_pieces(ids, context.tokenizer()) : OrderedJson(ids)},
                        {"count", ids.size()},
                        {"max_model_len", context.context()}});
}

HttpResponse detokenize(const ApiContext& context, const HttpRequest& http) {
  const OrderedJson body = parse_body(http.body);
  Fields fields(body);
  static_cast<void>(context.choose_model(fields));
  const OrderedJson& tokens = fields.need("tokens", "an array of token ids");
  const std::string text = context.tokenizer().decode(context.read_tokens(tokens, "tokens"));
  context.note_unknown(fields);
  return json_response({{"content", text}, {"prompt", text}});
}

}  // namespace rotor::runtime::server
