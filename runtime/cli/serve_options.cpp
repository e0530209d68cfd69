// Reading of the flags of rotor serve.
#include "runtime/cli/serve_options.h"

#include <cstdlib>
#include <filesystem>

#include "rotor/core/error.h"
#include "runtime/cli/sampling_options.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kServeExamples =
    "  rotor serve model.rotor                                  for this machine: http://127.0.0.1:8080\n"
    "  rotor serve model.rotor --parallel 32 --kv-memory 2G --ctx-size 4096\n"
    "  rotor serve model.rotor --host '*' --api-key-file /etc/rotor/keys --tls-cert cert.pem --tls-key "
    "key.pem\n"
    "  rotor serve model.rotor --rag notes.db --watch ~/notes   answers from a knowledge base that follows a "
    "folder\n"
    "  rotor serve model.rotor --host unix:/run/rotor/rotor.sock --log-format json\n"
    "  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\\n"
    "    -d '{\"messages\": [{\"role\": \"user\", \"content\": \"What is a prime?\"}]}'\n";

void add_batch_options(cxxopts::Options& options) {
  options.add_options()("parallel", "texts that are generated at once",
                        cxxopts::value<int64_t>()->default_value("16"))(
      "c,ctx-size", "tokens of each text, its prompt included (default: as many as the model was made for)",
      cxxopts::value<int64_t>())(
      "kv-memory",
      "for keys and values of all texts: 800M, 4G (default: what --parallel texts of full length take, at "
      "most a quarter of the machine's memory)",
      cxxopts::value<std::string>())("queue", "texts that may wait; more get status 429",
                                     cxxopts::value<int64_t>()->default_value("128"))(
      "prefill-chunk", "tokens of prompts read in a step while other texts are generated",
      cxxopts::value<int64_t>()->default_value("32"))(
      "no-prefix-cache", "do not keep keys and values for texts with the same beginning")(
      "draft", "tokens that are guessed from the text so far in a step (prompt lookup); 0: none",
      cxxopts::value<int64_t>()->default_value(std::to_string(BatcherOptions().draft_tokens)))(
      "answer-timeout", "seconds after which an answer ends as it is; 0: never",
      cxxopts::value<double>()->default_value("600"));
}

void add_http_options(cxxopts::Options& options) {
  using Texts = std::vector<std::string>;
  options.add_options()("host", "address to listen at; '*': all of this machine; unix:PATH: a socket",
                        cxxopts::value<std::string>()->default_value("127.0.0.1"))(
      "port", "port to listen at; 0: a free one", cxxopts::value<int64_t>()->default_value("8080"))(
      "api-key",
      "key that clients must show; may be repeated (others see command lines: ROTOR_API_KEY or a "
      "file hide it)",
      cxxopts::value<Texts>())("api-key-file", "file of keys, one a line; may be repeated",
                               cxxopts::value<Texts>())("metrics-key", "ask for a key at /metrics, too")(
      "tls-cert", "certificate for TLS (PEM, with its chain)", cxxopts::value<std::string>())(
      "tls-key", "its private key (PEM)", cxxopts::value<std::string>())(
      "cors-origin", "web pages from there may ask, as https://example.org; '*': all; may be repeated",
      cxxopts::value<Texts>())(
      "allow-host",
      "name by which clients may call a server that listens to this machine alone and has no "
      "keys, besides localhost; may be repeated",
      cxxopts::value<Texts>())("no-page", "no web page at /")(
      "max-connections", "clients that may be connected at once",
      cxxopts::value<int64_t>()->default_value("512"))("max-body", "size of a request: 512K, 16M",
                                                       cxxopts::value<std::string>()->default_value("16M"))(
      "body-memory", "size of all requests that are being read or answered",
      cxxopts::value<std::string>()->default_value("256M"))("request-timeout",
                                                            "seconds for a whole request to arrive",
                                                            cxxopts::value<double>()->default_value("30"))(
      "write-timeout", "seconds for a client to take what it is sent",
      cxxopts::value<double>()->default_value("30"))("idle-timeout",
                                                     "seconds that a connection is kept between requests",
                                                     cxxopts::value<double>()->default_value("75"))(
      "shutdown-timeout", "seconds for answers to finish after SIGTERM; a second signal cuts them",
      cxxopts::value<double>()->default_value("30"))("log-level", "error | warning | info | debug",
                                                     cxxopts::value<std::string>()->default_value("info"))(
      "log-format", "text | json", cxxopts::value<std::string>()->default_value("text"));
}

int64_t read_count(const cxxopts::ParseResult& parsed, const std::string& name, int64_t least, int64_t most) {
  const auto value = parsed[name].as<int64_t>();
  if (value < least || value > most) {
    fail("--", name, ": expected ", least, " to ", most, ", found ", value);
  }
  return value;
}

std::chrono::milliseconds read_seconds(const cxxopts::ParseResult& parsed, const std::string& name,
                                       bool zero_too = false) {
  constexpr double kYear = 365.0 * 24 * 3600;
  const auto seconds = parsed[name].as<double>();
  if (!(seconds >= 0.001 || (zero_too && seconds == 0.0)) || seconds > kYear) {
    fail("--", name, ": expected seconds, ", zero_too ? "0 or more" : "more than 0", ", found ", seconds);
  }
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
}

std::vector<std::string> read_texts(const cxxopts::ParseResult& parsed, const std::string& name) {
  return parsed.count(name) == 0 ? std::vector<std::string>() : parsed[name].as<std::vector<std::string>>();
}

/// Of an option without a default; "" if it was not given.
std::string read_text(const cxxopts::ParseResult& parsed, const std::string& name) {
  return parsed.count(name) == 0 ? "" : parsed[name].as<std::string>();
}

server::ApiKeys read_keys(const cxxopts::ParseResult& parsed) {
  server::ApiKeys keys;
  for (const std::string& key : read_texts(parsed, "api-key")) keys.add(key, "--api-key");
  if (const char* key = std::getenv("ROTOR_API_KEY"); key != nullptr && *key != '\0') {
    keys.add(key, "ROTOR_API_KEY");
  }
  for (const std::string& path : read_texts(parsed, "api-key-file")) keys.add_file(path);
  return keys;
}

BatcherOptions read_batch_options(const cxxopts::ParseResult& parsed, const SessionOptions& session) {
  constexpr int64_t kMany = 1 << 20;
  BatcherOptions batcher;
  batcher.session = session;
  if (parsed.count("ctx-size") != 0)
    batcher.session.context = read_count(parsed, "ctx-size", 1, int64_t{1} << 40);
  batcher.max_sequences = read_count(parsed, "parallel", 1, 4096);
  if (parsed.count("kv-memory") != 0)
    batcher.kv_bytes = read_size("--kv-memory", read_text(parsed, "kv-memory"));
  batcher.queue = read_count(parsed, "queue", 0, kMany);
  batcher.prefill_chunk = read_count(parsed, "prefill-chunk", 1, kMany);
  batcher.prefix_cache = parsed.count("no-prefix-cache") == 0;
  batcher.draft_tokens = read_count(parsed, "draft", 0, 64);
  return batcher;
}

/// Whether only this machine can ask there, as far as the name alone says it.
bool is_local(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

server::HttpServerOptions read_http_options(const cxxopts::ParseResult& parsed) {
  server::HttpServerOptions http;
  http.host = parsed["host"].as<std::string>();
  http.port = static_cast<int>(read_count(parsed, "port", 0, 65535));
  http.tls_certificate = read_text(parsed, "tls-cert");
  http.tls_key = read_text(parsed, "tls-key");
  if (http.tls_certificate.empty() != http.tls_key.empty())
    fail("--tls-cert and --tls-key: expected both or none");
  http.rules.keys = read_keys(parsed);
  http.rules.cors_origins = read_texts(parsed, "cors-origin");
  for (const std::string& origin : http.rules.cors_origins) {
    if (origin != "*" && (origin.find("://") == std::string::npos || origin.ends_with('/'))) {
      fail("--cors-origin: expected \"*\" or an origin like https://example.org, found \"", origin, "\"");
    }
  }
  http.rules.allowed_hosts = read_texts(parsed, "allow-host");
  http.rules.check_host = http.rules.keys.empty() && is_local(http.host);
  http.rules.max_body_bytes = read_size("--max-body", parsed["max-body"].as<std::string>());
  http.rules.body_memory_bytes = read_size("--body-memory", parsed["body-memory"].as<std::string>());
  http.rules.request_timeout = read_seconds(parsed, "request-timeout");
  http.write_timeout = read_seconds(parsed, "write-timeout");
  http.idle_timeout = read_seconds(parsed, "idle-timeout");
  http.max_connections = read_count(parsed, "max-connections", 1, 100'000);
  return http;
}

}  // namespace

std::optional<ServeOptions> read_serve_options(int argc, char** argv) {
  cxxopts::Options options("rotor serve", "Serves a language model over HTTP, with OpenAI's API.");
  add_model_options(options, "f16");
  add_head_screening_option(options);
  options.add_options()("alias", "name of the model that clients see (default: the file's name)",
                        cxxopts::value<std::string>())(
      "chat-template", "file of a template instead of the model's", cxxopts::value<std::string>())(
      "offer-adapter", "NAME=DIR[:WEIGHT]: a LoRA adapter that requests may choose; may be repeated",
      cxxopts::value<std::vector<std::string>>())(
      "adapter-root", "requests may load adapters from the directories in this one",
      cxxopts::value<std::string>());
  add_batch_options(options);
  add_http_options(options);
  add_sampling_options(options);
  add_retrieval_options(options);
  add_watch_option(options);
  const auto parsed = parse_model_options(options, argc, argv, {"model"}, kServeExamples);
  if (!parsed) return std::nullopt;
  ServeOptions serve;
  serve.model = read_model_options(*parsed);
  serve.model_name = read_text(*parsed, "alias");
  if (serve.model_name.empty()) serve.model_name = std::filesystem::path(serve.model.path).stem().string();
  serve.sampling = read_sampling_options(*parsed);
  serve.chat_template = read_text(*parsed, "chat-template");
  for (const std::string& text : read_texts(*parsed, "offer-adapter")) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw tool::UsageError("--offer-adapter: expected NAME=DIR[:WEIGHT], found \"" + text + "\"");
    }
    serve.adapters.push_back({text.substr(0, equals), tool::read_adapter_option(text.substr(equals + 1))});
  }
  serve.adapter_root = read_text(*parsed, "adapter-root");
  serve.retrieval = read_retrieval_options(*parsed);
  serve.batcher = read_batch_options(*parsed, serve.model.session);
  serve.http = read_http_options(*parsed);
  serve.page = parsed->count("no-page") == 0;
  serve.metrics_need_key = parsed->count("metrics-key") != 0;
  serve.log_level = server::read_log_level("--log-level", (*parsed)["log-level"].as<std::string>());
  serve.log_format = server::read_log_format("--log-format", (*parsed)["log-format"].as<std::string>());
  serve.answer_timeout = read_seconds(*parsed, "answer-timeout", true);
  serve.shutdown_timeout = read_seconds(*parsed, "shutdown-timeout", true);
  return serve;
}

}  // namespace rotor::runtime::cli
