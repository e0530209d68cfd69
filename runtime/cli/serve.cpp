// rotor serve: a language model for many clients at once. It listens first and loads the model then, so that
// /health and /ready tell a balancer what is going on.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <thread>

#include "rotor/core/error.h"
#include "rotor/text/model_text.h"
#include "rotor/tool/main.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/serve_options.h"
#include "runtime/cli/service_manager.h"
#include "runtime/server/api/api.h"
#include "runtime/server/api/grammar_constraints.h"
#include "runtime/server/http/api_error.h"
#include "runtime/server/operation/metrics.h"
#include "runtime/server/operation/operation_routes.h"
#ifdef ROTOR_HAS_WEB_PAGE
#include "runtime/server/page.h"
#endif

namespace rotor::runtime::cli {
namespace {

using server::ApiError;
using server::HttpRequest;
using server::HttpResponse;
using server::HttpRoute;
using server::HttpServer;
using server::LogLevel;

/// SIGINT and SIGTERM, taken by a thread of their own: all other threads, those of libraries too, have them
/// blocked from the start. To be made before any other thread.
class StopSignals {
 public:
  /// `first` and `second` are called by that thread, for the first signal and the second.
  StopSignals(std::function<void()> first, std::function<void()> second) {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGINT);
    sigaddset(&signals_, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
    thread_ = std::thread([this, first = std::move(first), second = std::move(second)] {
      int taken = 0;
      while (!ended_ && taken < 2) {
        const timespec patience = {0, 100'000'000};
        if (sigtimedwait(&signals_, nullptr, &patience) < 0) continue;
        ++taken == 1 ? first() : second();
      }
    });
  }
  ~StopSignals() {
    ended_ = true;
    thread_.join();
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  sigset_t signals_ = {};
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

/// Where a server is between its start and its end.
class Stage {
 public:
  enum Name { loading, serving, stopping };

  bool is(Name name) const { return now_ == name; }
  /// False if a signal was faster.
  bool begin_serving() {
    Name expected = loading;
    return now_.compare_exchange_strong(expected, serving);
  }
  void begin_stopping() {
    const std::lock_guard<std::mutex> lock(mutex_);
    now_ = stopping;
    changed_.notify_all();
  }
  void wait_until_stopping() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return now_ == stopping; });
  }

 private:
  std::atomic<Name> now_ = loading;
  std::mutex mutex_;
  std::condition_variable changed_;
};

/// What is answered to everybody while the model is being loaded.
std::vector<HttpRoute> routes_while_loading() {
  const auto wait = [](const HttpRequest&) -> HttpResponse {
    ApiError error(503, "The model is being loaded", "", "not_ready");
    error.retry_after_seconds = 1;
    return server::error_response(error);
  };
  return {{"GET", "/*", wait}, {"POST", "/*", wait}};
}

server::ApiOptions api_options(const LanguageModel& model, const ServeOptions& options,
                               server::RequestLog& log, server::Metrics& metrics) {
  server::ApiOptions api;
  api.model_name = options.model_name;
  api.sampling = options.sampling;
  api.time_limit = options.answer_timeout;
  api.adapter_root = options.adapter_root;
  api.constraints = server::grammar_constraints(model);
  api.record = [&metrics](const server::GenerationRecord& text) {
    metrics.count_end(text.route, server::name(text.outcome));
  };
  api.sources = open_retrieval(options.retrieval, model, options.model.model.threads,
                               [&log](const std::string& message) { log.say(LogLevel::info, message); });
  api.retrieval = options.retrieval.options;
  api.retrieved = [&](const retrieval::Retrieval& found) {
    metrics.count_retrieval(retrieval::name(found.outcome), found.search_ms / 1e3);
    if (!found.failure.empty())
      log.say(LogLevel::warning, "the knowledge base could not be searched", {{"why", found.failure}});
  };
  api.debug = [&log](const std::string& message) { log.say(LogLevel::debug, message); };
  if (!options.chat_template.empty()) {
    text::ModelText text = text::model_text(model.file());
    text.replace_chat_template(read_text_file(options.chat_template));
    api.chat_template = text::chat_template(text, options.chat_template);
  }
  for (const OfferedAdapter& offered : options.adapters) {
    const auto& [directory, weight] = offered.adapter;
    api.adapters.push_back({offered.name, {model.load_adapter(directory), weight}});
  }
  return api;
}

std::vector<std::pair<std::string, std::string>> backend_fields(const LanguageModel& model) {
  std::vector<std::pair<std::string, std::string>> fields;
  const Json backend = backend_json(model);
  for (const auto& [name, value] : backend.items()) {
    if (!value.is_null() && !value.empty()) {
      fields.emplace_back(name, value.is_string() ? value.get<std::string>() : dump_json(value));
    }
  }
  return fields;
}

std::vector<HttpRoute> page_routes(const ServeOptions& options) {
#ifdef ROTOR_HAS_WEB_PAGE
  if (options.page) return server::page_routes();
#endif
  (void)options;
  return {};
}

std::vector<HttpRoute> joined(std::vector<HttpRoute> routes, const std::vector<HttpRoute>& more) {
  routes.insert(routes.end(), more.begin(), more.end());
  return routes;
}

void warn_of_strangers(const ServeOptions& options, const HttpServer& server, server::RequestLog& log) {
  if (server.loopback()) return;
  if (options.http.rules.keys.empty()) {
    log.say(LogLevel::warning, "other machines can use this server, and it asks for no key (--api-key-file)");
  }
  if (options.http.tls_certificate.empty()) {
    log.say(
        LogLevel::warning,
        "other machines can reach this server without TLS: what is said and the keys can be read on the way "
        "(--tls-cert, or a proxy in front and --host 127.0.0.1)");
  }
}

std::string address_text(const ServeOptions& options, int port) {
  const std::string& host = options.http.host;
  if (host.starts_with("unix:")) return host;
  const std::string shown = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return cat(options.http.tls_certificate.empty() ? "http://" : "https://", shown, ":", port);
}

}  // namespace

int serve(int argc, char** argv) {
  auto options = read_serve_options(argc, argv);
  if (!options) return 0;
  server::RequestLog log(options->log_level, options->log_format);
  server::Metrics metrics;
  Stage stage;
  options->http.on_request = [&](const server::RequestRecord& record) {
    metrics.count(record);
    log.request(record);
  };
  const auto own_routes = server::operation_routes(
      metrics,
      {.ready = [&] { return stage.is(Stage::serving); }, .metrics_need_key = options->metrics_need_key});
  HttpServer http(options->http, joined(own_routes, routes_while_loading()));
  const StopSignals signals(
      [&] {
        if (stage.is(Stage::loading)) _exit(0);  // nothing is lost yet, and loading cannot be interrupted
        stage.begin_stopping();
      },
      [&] { http.stop(std::chrono::milliseconds(0)); });
  std::atomic<const Batcher*> running = nullptr;
  metrics.set_sources(
      {.batcher = [&] { return running != nullptr ? running.load()->statistics() : BatcherStatistics(); },
       .connections = [&] { return http.connections(); }});
  http.start();
  warn_of_strangers(*options, http, log);
  log.say(LogLevel::info, "listening", {{"at", address_text(*options, http.port())}});
  tell_service_manager("STATUS=Loading " + options->model.path);

  const LanguageModel model(options->model.path, options->model.model);
  options->sampling.validate(model.vocab_size());
  Batcher batcher(model, options->batcher);
  log.say(LogLevel::info, "loaded", backend_fields(model));
  const server::Api api(model, batcher, api_options(model, *options, log, metrics));
  running = &batcher;  // nothing below throws while requests could still ask it
  http.set_routes(joined(joined(own_routes, api.routes()), page_routes(*options)));
  if (stage.begin_serving()) {
    log.say(LogLevel::info, "ready", {{"model", options->model_name}});
    tell_service_manager("READY=1\nSTATUS=Serving " + options->model_name);
  }

  stage.wait_until_stopping();
  log.say(LogLevel::info, "stopping: answers may finish",
          {{"seconds", std::to_string(options->shutdown_timeout.count() / 1000)}});
  tell_service_manager("STOPPING=1");
  batcher.stop_accepting();
  const bool finished = http.stop(options->shutdown_timeout);
  log.say(finished ? LogLevel::info : LogLevel::warning,
          finished ? "stopped" : "stopped; answers that were not finished were cut");
  return finished ? 0 : 1;
}

}  // namespace rotor::runtime::cli
