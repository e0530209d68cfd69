// The flags of rotor serve.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "rotor/tool/adapter_option.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/retrieval_options.h"
#include "runtime/engine/batcher.h"
#include "runtime/engine/sampler.h"
#include "runtime/server/http/http_server.h"
#include "runtime/server/operation/request_log.h"

namespace rotor::runtime::cli {

/// An adapter that requests may choose.
struct OfferedAdapter {
  std::string name;
  tool::AdapterOption adapter;
};

struct ServeOptions {
  ModelOptions model;
  std::string model_name;     ///< that clients name
  BatcherOptions batcher;     ///< its `session` is the model's
  SamplerOptions sampling;    ///< where a request says nothing
  std::string chat_template;  ///< file of one, instead of the model's; "": the model's
  std::vector<OfferedAdapter> adapters;
  std::string adapter_root;  ///< whose directories requests may load as adapters; "": none
  RetrievalChoice retrieval;
  server::HttpServerOptions http;
  bool page = true;
  bool metrics_need_key = false;
  server::LogLevel log_level = server::LogLevel::info;
  server::LogFormat log_format = server::LogFormat::text;
  std::chrono::milliseconds answer_timeout{0};  ///< of a request, from its first byte; 0: none
  std::chrono::milliseconds shutdown_timeout{0};
};

/// Reads the command line; nothing if --help was given. Throws UsageError, and Error naming the flag, what is
/// expected and what was found.
std::optional<ServeOptions> read_serve_options(int argc, char** argv);

}  // namespace rotor::runtime::cli
