// Names of models and adapters, and the ways in which errors of deeper parts become answers.
#include "runtime/server/api/api_context.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "rotor/formats/base_fingerprint.h"

namespace rotor::runtime::server {
namespace {

constexpr size_t kMaxAdapters = 64;
constexpr size_t kMaxSaid = 256;

std::string stem(const std::string& path) {
  return std::filesystem::path(path).stem().string();
}

[[noreturn]] void refuse_prompt(const std::string& param, const std::string& message, const char* code) {
  throw ApiError(400, message, param, code);
}

}  // namespace

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::stop:
      return "stop";
    case Outcome::length:
      return "length";
    case Outcome::deadline:
      return "deadline";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::failed:
      return "failed";
  }
  return "";
}

ApiContext::ApiContext(const LanguageModel& model, Submit submit, int64_t context, ApiOptions options)
    : model_(model),
      submit_(std::move(submit)),
      context_(context),
      options_(std::move(options)),
      created_(unix_seconds(options_.created.value_or(std::chrono::system_clock::now()))),
      fingerprint_("fp_" + base_fingerprint(model.file()).substr(0, 10)),
      chat_template_(options_.chat_template ? options_.chat_template : model.chat_template()) {
  if (options_.model_name.empty()) options_.model_name = stem(model.file().path());
  if (chat_template_) tool_style_ = tool_style(*chat_template_);
  for (const NamedAdapter& adapter : options_.adapters) {
    if (find_adapter(adapter.name) != nullptr) fail("adapters: there are two named ", adapter.name);
    adapters_.push_back(adapter);
  }
}

const text::Tokenizer& ApiContext::tokenizer() const {
  if (model_.tokenizer() == nullptr) throw ApiError(400, "this model has no tokenizer", "", "no_tokenizer");
  return *model_.tokenizer();
}

const text::ChatTemplate& ApiContext::chat_template() const {
  if (!chat_template_) {
    throw ApiError(400, "this model has no chat template: use /v1/completions", "messages",
                   "no_chat_template");
  }
  return *chat_template_;
}

const ConstraintFactory& ApiContext::constraints(const std::string& param) const {
  if (options_.constraints == nullptr)
    refuse(param, "this server cannot constrain answers", "unsupported_parameter");
  return *options_.constraints;
}

std::shared_ptr<BatchText> ApiContext::submit(BatchRequest request) const {
  try {
    return submit_(std::move(request));
  } catch (const Overloaded& e) {
    ApiError error(e.stopping ? 503 : 429, e.what(), "",
                   e.stopping ? "server_stopping" : "rate_limit_exceeded");
    error.retry_after_seconds = static_cast<int>(e.retry_after_seconds);
    throw error;
  } catch (const ApiError&) {
    throw;
  } catch (const Error& e) {
    throw ApiError(400, e.what());
  }
}

std::optional<Clock::time_point> ApiContext::deadline() const {
  if (options_.time_limit.count() == 0) return std::nullopt;
  return Clock::now() + options_.time_limit;
}

ModelChoice ApiContext::choose_model(Fields& fields) const {
  const std::lock_guard lock(mutex_);
  ModelChoice choice{options_.model_name, {}};
  const auto add = [&](const std::string& name, const std::string& param, std::optional<double> weight) {
    const NamedAdapter* adapter = find_adapter(name);
    if (adapter == nullptr)
      refuse(param, cat("there is no adapter named ", quote_json(OrderedJson(name))), "adapter_not_found");
    choice.adapters.push_back(adapter->active);
    if (weight) choice.adapters.back().weight = static_cast<float>(*weight);
  };
  if (const auto wanted = fields.text("model"); wanted && *wanted != options_.model_name) {
    const std::string prefix = options_.model_name + ":";
    const bool has_prefix = wanted->starts_with(prefix);
    if (!has_prefix || find_adapter(wanted->substr(prefix.size())) == nullptr) {
      throw ApiError(404,
                     cat("The model ", quote_json(OrderedJson(*wanted)),
                         " does not exist; this server has \"", options_.model_name, "\""),
                     "model", "model_not_found");
    }
    choice.name = *wanted;
    add(wanted->substr(prefix.size()), "model", {});
  }
  const OrderedJson* list = fields.array("adapters", kMaxAdapters);
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    Fields item((*list)[i], cat("adapters[", i, "]"));
    const std::string name = item.need_text("name");
    add(name, item.param("name"), item.number("weight", -100.0, 100.0));
  }
  return choice;
}

const NamedAdapter* ApiContext::find_adapter(const std::string& name) const {
  const auto found = std::ranges::find(adapters_, name, &NamedAdapter::name);
  return found == adapters_.end() ? nullptr : &*found;
}

std::vector<NamedAdapter> ApiContext::adapters() const {
  const std::lock_guard lock(mutex_);
  return adapters_;
}

NamedAdapter ApiContext::load_adapter(const std::string& name, const std::string& directory) const {
  if (options_.adapter_root.empty())
    throw ApiError(403, "this server loads no adapters by request", "path", "adapters_not_loadable");
  if (name.empty() || name.find(':') != std::string::npos)
    refuse("name", "expected a name without ':', found " + quote_json(OrderedJson(name)));
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path root = fs::canonical(options_.adapter_root, error);
  if (error) throw ApiError(500, cat(options_.adapter_root, ": ", error.message()));
  // What links and ".." lead to counts.
  const fs::path path = fs::canonical(root / directory, error);
  const bool is_inside = !error && !directory.empty() && std::ranges::mismatch(root, path).in1 == root.end();
  if (!is_inside || !fs::is_directory(path, error))
    refuse("path",
           "expected a directory among the server's adapters, found " + quote_json(OrderedJson(directory)));
  const auto check_room = [&] {
    if (find_adapter(name) != nullptr) refuse("name", cat("there is an adapter named ", name, " already"));
    if (adapters_.size() >= kMaxAdapters)
      refuse("name", cat("there are ", kMaxAdapters, " adapters already"));
  };
  {
    const std::lock_guard lock(mutex_);
    check_room();
  }
  NamedAdapter adapter{name, {}};
  try {
    adapter.active.adapter = model_.load_adapter(path.string());
  } catch (const Error& e) {
    throw ApiError(400, e.what(), "path");
  }
  const std::lock_guard lock(mutex_);
  check_room();  // again: others loaded theirs meanwhile
  adapters_.push_back(adapter);
  return adapter;
}

void ApiContext::note_unknown(const Fields& fields) const {
  if (!options_.debug) return;
  for (const std::string& field : fields.unknown()) {
    const std::lock_guard lock(mutex_);
    if (said_.size() < kMaxSaid && said_.insert(field).second)
      options_.debug(
          cat("requests hold an unknown field, which is ignored: ", quote_json(OrderedJson(field))));
  }
}

std::vector<text::TokenId> ApiContext::encode_text(const std::string& text, text::SpecialTokens special,
                                                   bool add_special) const {
  std::vector<text::TokenId> ids = tokenizer().encode(text, special);
  const auto bos = model_.bos();
  if (add_special && bos && (ids.empty() || ids.front() != *bos)) ids.insert(ids.begin(), *bos);
  return ids;
}

std::vector<text::TokenId> ApiContext::read_tokens(const OrderedJson& value, const std::string& param) const {
  if (!value.is_array()) refuse(param, "an array of token ids", value);
  std::vector<text::TokenId> ids;
  ids.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    const OrderedJson& id = value[i];
    // As unsigned: what is negative is too large then.
    if (!id.is_number_integer() || id.get<uint64_t>() >= static_cast<uint64_t>(model_.vocab_size()))
      refuse(cat(param, "[", i, "]"), cat("a token id from 0 to ", model_.vocab_size() - 1), id);
    ids.push_back(id.get<text::TokenId>());
  }
  return ids;
}

void ApiContext::check_prompt(const std::vector<text::TokenId>& prompt, const std::string& param,
                              int64_t room) const {
  const auto size = static_cast<int64_t>(prompt.size());
  if (size == 0)
    refuse_prompt(param, cat(param, ": expected at least one token, found none"), "empty_prompt");
  if (size + room <= context_) return;
  refuse_prompt(param,
                cat("This model's maximum context length is ", context_, " tokens. However, your prompt has ",
                    size, " tokens: please shorten it."),
                "context_length_exceeded");
}

int64_t unix_seconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::string random_id(const std::string& prefix, size_t length) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  static thread_local std::mt19937_64 random{std::random_device{}()};
  std::uniform_int_distribution<size_t> letter(0, kLetters.size() - 1);
  std::string id = prefix;
  for (size_t i = 0; i < length; ++i) id += kLetters[letter(random)];
  return id;
}

}  // namespace rotor::runtime::server
