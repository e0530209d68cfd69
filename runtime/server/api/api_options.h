// What an operator decides about the API, and what it asks of parts that are made elsewhere: constraints of
// what a model may say, and a place for what was measured.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rotor/formats/ordered_json.h"
#include "rotor/text/chat_template.h"
#include "runtime/engine/batcher.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::server {

/// Makes the constraint of one text; nothing: there is none.
using ConstraintMaker = std::function<std::shared_ptr<TokenConstraint>()>;

/// Compiles what texts are held to. All throw Error saying what is wrong with the grammar or the schema.
/// Thread-safe.
class ConstraintFactory {
 public:
  virtual ~ConstraintFactory() = default;
  virtual ConstraintMaker from_gbnf(const std::string& grammar) const = 0;
  virtual ConstraintMaker from_json_schema(const OrderedJson& schema) const = 0;
  virtual ConstraintMaker any_json_object() const = 0;
};

/// How a text ended, for metrics.
enum class Outcome {
  stop,       ///< the model ended it, a stop string came, or no more was wanted; an embedding is there
  length,     ///< as many tokens as were asked for, or as fit
  deadline,   ///< the time was over
  cancelled,  ///< the client hung up
  failed      ///< it could not go on
};
/// "stop", ...
const char* name(Outcome outcome);

/// A text that ended; a request has one for each choice or input.
struct GenerationRecord {
  std::string request_id;  ///< HttpRequest::id
  std::string route;       ///< "/v1/chat/completions"
  BatchUsage usage;
  Outcome outcome = Outcome::stop;
  bool streamed = false;
};

/// An adapter that requests may choose.
struct NamedAdapter {
  std::string name;
  ActiveAdapter active;
};

struct ApiLimits {
  int64_t choices = 16;         ///< largest n and best_of
  int64_t texts = 64;           ///< generated for one request: prompts times best_of
  int64_t at_once = 16;         ///< texts of one request that the batcher holds
  int64_t inputs = 256;         ///< of one request for embeddings
  int64_t stop_strings = 16;    ///< of one request
  int64_t tools = 128;          ///< of one request
  int64_t logit_biases = 1024;  ///< of one request
  int64_t top_logprobs = 20;    ///< alternatives of each token
  int64_t sources = 20;         ///< of an answer
  int64_t new_tokens = -1;      ///< most tokens of an answer, whatever is asked for; -1: what the context has
};

struct ApiOptions {
  std::string model_name;  ///< that clients see; "": the file's name without its ending
  std::optional<std::chrono::system_clock::time_point> created = {};  ///< of the model; none: now
  SamplerOptions sampling = {};                                       ///< where a request says nothing
  ApiLimits limits = {};
  std::chrono::milliseconds time_limit{0};  ///< of a request; 0: none
  /// Instead of the model's.
  std::optional<text::ChatTemplate> chat_template = {};
  std::vector<NamedAdapter> adapters = {};
  /// Adapters may be loaded by requests from directories in this one; "": not at all.
  std::string adapter_root = {};
  /// nullptr: requests that need one are refused.
  std::shared_ptr<const ConstraintFactory> constraints = {};
  /// Of answers to chats; nullptr: there is no knowledge base.
  std::shared_ptr<const retrieval::SourceFinder> sources = {};
  retrieval::RetrievalOptions retrieval = {};  ///< where a request says nothing; its filter always holds
  /// Called from any thread; all may be empty.
  std::function<void(const retrieval::Retrieval&)> retrieved = {};
  std::function<void(const GenerationRecord&)> record = {};
  std::function<void(const std::string&)> debug = {};
};

}  // namespace rotor::runtime::server
