// The texts of one request: handed to the batcher, waited for together, cancelled together when the client
// hangs up.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "runtime/server/api/api_context.h"
#include "runtime/server/http/http.h"

namespace rotor::runtime::server {

class TextGroup {
 public:
  /// `context` must outlive it.
  TextGroup(const ApiContext& context, const HttpRequest& request, bool streamed);
  /// Cancels what has not ended.
  ~TextGroup();
  TextGroup(const TextGroup&) = delete;
  TextGroup& operator=(const TextGroup&) = delete;

  /// One more text. `same_prompt`: as that of the one before, of which usage() counts the prompt once.
  void add(BatchRequest request, bool same_prompt = false);
  /// Hands in as many as the batcher is to hold of one request; the others follow in wait(). Throws ApiError
  /// as ApiContext::submit().
  void start();

  struct Callbacks {
    /// What came of text `index`. False: no more of this text is wanted.
    std::function<bool(size_t index, BatchProgress& progress)> take;
    /// After each round, in which perhaps nothing came. False: the client is gone.
    std::function<bool()> alive;
  };
  /// Waits until all have ended, and records them. Returns false if the client is gone: all are cancelled
  /// then. Throws ApiError 500 if one could not go on.
  bool wait(const Callbacks& callbacks);

  /// Of the texts that ended, and of all prompts.
  const BatchUsage& usage() const { return usage_; }

 private:
  struct Text {
    BatchRequest request;
    bool same_prompt = false;
    std::shared_ptr<BatchText> text;  // once it is handed in
    bool enough = false;              // no more is wanted
    bool ended = false;
  };
  /// Hands in what there is room for. An Overloaded is thrown only if nothing of this request runs.
  void submit_more();
  /// Ends those that did not get in before their time was over.
  void give_up_late(const Callbacks& callbacks);
  void take(size_t index, std::chrono::milliseconds timeout, const Callbacks& callbacks);
  void end(Text& text, const BatchProgress& progress);
  void record(const BatchUsage& usage, Outcome outcome) const;

  const ApiContext& context_;
  std::string id_;
  std::string route_;
  std::function<void(const BatchUsage& usage)> used_;
  bool streamed_;
  std::vector<Text> texts_;
  size_t submitted_ = 0;
  Clock::time_point next_try_;  // to hand in more, when there was no room
  size_t ended_ = 0;
  BatchUsage usage_;
};

}  // namespace rotor::runtime::server
