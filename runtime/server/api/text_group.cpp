// Texts run in step with one another, so one is waited for and the others are asked what they have.
#include "runtime/server/api/text_group.h"

#include <thread>
#include <utility>

namespace rotor::runtime::server {
namespace {

using std::chrono::milliseconds;

/// How long a client that hung up goes unnoticed; with several texts, how long one that waits in the queue
/// keeps what the others have.
constexpr milliseconds kPatience{100};
constexpr milliseconds kPatienceOfSeveral{20};
/// What comes within it goes out together: a small model draws thousands of tokens a second, and each piece
/// that is sent costs as much as some of them.
constexpr milliseconds kRound{10};
constexpr milliseconds kRetry{100};

Outcome outcome_of(const BatchProgress& progress, bool enough) {
  if (!progress.error.empty()) return Outcome::failed;
  switch (progress.stop_reason) {
    case StopReason::length:
    case StopReason::context:
      return Outcome::length;
    case StopReason::time_limit:
      return Outcome::deadline;
    case StopReason::interrupted:
      return enough ? Outcome::stop : Outcome::cancelled;
    default:
      return Outcome::stop;
  }
}

}  // namespace

TextGroup::TextGroup(const ApiContext& context, const HttpRequest& request, bool streamed)
    : context_(context), id_(request.id), route_(request.path), used_(request.used), streamed_(streamed) {}

TextGroup::~TextGroup() {
  for (size_t i = 0; i < submitted_; ++i) {
    if (texts_[i].ended) continue;
    texts_[i].text->cancel();
    record({}, Outcome::cancelled);
  }
}

void TextGroup::add(BatchRequest request, bool same_prompt) {
  if (!same_prompt) usage_.prompt_tokens += static_cast<int64_t>(request.prompt.size());
  texts_.push_back({std::move(request), same_prompt, nullptr, false, false});
}

void TextGroup::start() {
  submit_more();
}

void TextGroup::submit_more() {
  if (Clock::now() < next_try_) return;
  const auto at_once = static_cast<size_t>(context_.options().limits.at_once);
  while (submitted_ < texts_.size() && submitted_ - ended_ < at_once) {
    Text& text = texts_[submitted_];
    // A copy once others were taken: if there is no room now, it is handed in later.
    const bool may_wait = submitted_ > 0;
    text.request.goes_on = may_wait;
    try {
      text.text = context_.submit(may_wait ? text.request : std::move(text.request));
    } catch (const ApiError& e) {
      if (e.status != 429 || !may_wait) throw;
      next_try_ = Clock::now() + kRetry;
      return;
    }
    text.request = {};
    ++submitted_;
  }
}

bool TextGroup::wait(const Callbacks& callbacks) {
  const milliseconds patience = texts_.size() == 1 ? kPatience : kPatienceOfSeveral;
  while (ended_ < texts_.size()) {
    const auto round = Clock::now();
    submit_more();
    give_up_late(callbacks);
    milliseconds timeout = patience;
    for (size_t i = 0; i < submitted_; ++i) {
      if (texts_[i].ended) continue;
      take(i, timeout, callbacks);
      timeout = milliseconds{0};
    }
    if (!callbacks.alive()) return false;
    if (ended_ < texts_.size()) std::this_thread::sleep_until(round + kRound);
  }
  return true;
}

void TextGroup::give_up_late(const Callbacks& callbacks) {
  while (submitted_ < texts_.size()) {
    Text& text = texts_[submitted_];
    if (!text.request.deadline || *text.request.deadline > Clock::now()) return;
    BatchProgress late;
    late.finished = true;
    late.stop_reason = StopReason::time_limit;
    late.usage.prompt_tokens = std::ssize(text.request.prompt);
    end(text, late);
    callbacks.take(submitted_++, late);
  }
}

void TextGroup::take(size_t index, milliseconds timeout, const Callbacks& callbacks) {
  Text& text = texts_[index];
  BatchProgress progress = text.text->wait(timeout);
  if (progress.finished) end(text, progress);
  const bool is_empty = progress.text.empty() && progress.tokens.empty() && !progress.finished;
  if (text.enough || is_empty) return;
  if (!callbacks.take(index, progress) && !text.ended) {
    text.enough = true;
    text.text->cancel();
  }
}

void TextGroup::end(Text& text, const BatchProgress& progress) {
  text.ended = true;
  ++ended_;
  record(progress.usage, outcome_of(progress, text.enough));
  if (progress.refused) throw ApiError(400, progress.error, "", "invalid_grammar");
  if (!progress.error.empty()) throw ApiError(500, progress.error, "", "generation_failed");
  if (!text.same_prompt) usage_.cached_tokens += progress.usage.cached_tokens;
  usage_.completion_tokens += progress.usage.completion_tokens;
}

void TextGroup::record(const BatchUsage& usage, Outcome outcome) const {
  if (used_) used_(usage);
  if (context_.options().record) context_.options().record({id_, route_, usage, outcome, streamed_});
}

}  // namespace rotor::runtime::server
