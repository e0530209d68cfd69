// GET /v1/models, and the adapters that make other models of the one that is there.
#include "runtime/server/api/endpoints.h"

namespace rotor::runtime::server {
namespace {

HttpResponse json_response(const OrderedJson& json, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.body = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  return response;
}

/// The model, and with each adapter one of its own, as clients that know no adapters choose it.
std::vector<OrderedJson> models(const ApiContext& context) {
  const std::string& base = context.options().model_name;
  const auto model = [&](const std::string& id) {
    OrderedJson json = {{"id", id},
                        {"object", "model"},
                        {"created", context.created()},
                        {"owned_by", "rotor"},
                        {"max_model_len", context.context()}};
    if (context.options().sources != nullptr)
      json["retrieval"] = retrieval::name(context.options().retrieval.mode);
    return json;
  };
  std::vector<OrderedJson> all = {model(base)};
  for (const NamedAdapter& adapter : context.adapters()) {
    all.push_back(model(base + ":" + adapter.name));
    all.back()["parent"] = base;
  }
  return all;
}

OrderedJson describe(const NamedAdapter& adapter) {
  return {{"name", adapter.name},
          {"weight", adapter.active.weight},
          {"rank", adapter.active.adapter->largest_rank()},
          {"bytes", adapter.active.adapter->bytes()}};
}

}  // namespace

HttpResponse list_models(const ApiContext& context, const HttpRequest&) {
  return json_response({{"object", "list"}, {"data", models(context)}});
}

HttpResponse show_model(const ApiContext& context, const HttpRequest& request) {
  constexpr std::string_view kPath = "/v1/models/";
  const std::string id = request.path.substr(std::min(kPath.size(), request.path.size()));
  for (const OrderedJson& model : models(context)) {
    if (model["id"] == id) return json_response(model);
  }
  throw ApiError(404, cat("The model ", quote_json(OrderedJson(id)), " does not exist"), "model",
                 "model_not_found");
}

HttpResponse list_adapters(const ApiContext& context, const HttpRequest&) {
  OrderedJson list = OrderedJson::array();
  for (const NamedAdapter& adapter : context.adapters()) list.push_back(describe(adapter));
  return json_response({{"object", "list"}, {"data", std::move(list)}});
}

HttpResponse add_adapter(const ApiContext& context, const HttpRequest& request) {
  const OrderedJson body = parse_body(request.body);
  Fields fields(body);
  const std::string name = fields.need_text("name");
  const std::string path = fields.text("path").value_or(name);
  context.note_unknown(fields);
  return json_response(describe(context.load_adapter(name, path)), 201);
}

}  // namespace rotor::runtime::server
