// The queue, the thread, and what a step does with the rows that step_plan.h chose.
#include "runtime/engine/batcher.h"

#include <unistd.h>

#include <algorithm>
#include <deque>
#include <mutex>
#include <optional>
#include <ranges>
#include <thread>
#include <utility>

#include "runtime/engine/batch_text.h"
#include "runtime/engine/kv_pages.h"
#include "runtime/engine/paged_model.h"
#include "runtime/engine/step_plan.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kPageTokens = Transformer::kPageTokens;

/// The owner's end of a text.
class Handle : public BatchText {
 public:
  explicit Handle(std::shared_ptr<Mailbox> mailbox) : mailbox_(std::move(mailbox)) {}
  ~Handle() override { mailbox_->cancel(); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  BatchProgress wait(std::chrono::milliseconds timeout) override { return mailbox_->take(timeout); }
  void cancel() override { mailbox_->cancel(); }

 private:
  std::shared_ptr<Mailbox> mailbox_;
};

uint64_t memory_of_machine() {
  const auto pages = static_cast<uint64_t>(std::max(sysconf(_SC_PHYS_PAGES), 1L));
  return pages * static_cast<uint64_t>(std::max(sysconf(_SC_PAGESIZE), 1L));
}

/// Options with as many pages as their bytes are for.
SessionOptions with_pages(const LanguageModel& model, const BatcherOptions& options) {
  SessionOptions session = options.session;
  session.kv_pages = 1;
  const Transformer::StageOptions stage = stage_options(model.transformer(), session);
  const auto layers = static_cast<uint64_t>(model.config().num_hidden_layers);
  const uint64_t page_bytes = layers * model.transformer().cache_bytes_per_layer(stage);
  const int64_t least = Transformer::pages_for(stage.context);
  const int64_t most = options.max_sequences * least;
  const auto pages_in = [&](uint64_t bytes) { return static_cast<int64_t>(bytes / page_bytes); };
  if (options.kv_bytes > 0 && pages_in(options.kv_bytes) < least) {
    fail("memory for keys and values: expected at least ", static_cast<uint64_t>(least) * page_bytes,
         " bytes, which a text of ", stage.context, " tokens takes, found ", options.kv_bytes,
         "; a smaller context takes less");
  }
  const uint64_t memory = std::min(memory_of_machine(), model.device().free_memory().value_or(UINT64_MAX));
  const int64_t wanted = pages_in(options.kv_bytes > 0 ? options.kv_bytes : memory / 4);
  session.kv_pages = std::clamp(wanted, least, most);
  session.batch = std::max(session.batch, options.max_sequences);
  return session;
}

void check_options(const BatcherOptions& options) {
  if (options.max_sequences < 1) fail("max_sequences: expected at least 1, found ", options.max_sequences);
  if (options.queue < 0) fail("queue: expected 0 or more, found ", options.queue);
  if (options.prefill_chunk < 1) fail("prefill_chunk: expected at least 1, found ", options.prefill_chunk);
  if (options.draft_tokens < 0) fail("draft_tokens: expected 0 or more, found ", options.draft_tokens);
}

}  // namespace

class Batcher::Loop {
 public:
  Loop(const LanguageModel& model, const BatcherOptions& options)
      : model_(model),
        options_((check_options(options), options)),
        session_(with_pages(model, options)),
        paged_(model.transformer(), model.place(session_), session_),
        pages_(session_.kv_pages, kPageTokens, options.prefix_cache),
        context_(std::min(paged_.context(), pages_.count() * kPageTokens)) {
    thread_ = std::thread([this] { run(); });
  }

  ~Loop() {
    {
      const std::lock_guard lock(mutex_);
      accepting_ = false;
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  std::shared_ptr<BatchText> submit(BatchRequest request) {
    if (request.adapters.empty()) request.adapters = model_.adapters();
    auto text = std::make_shared<TextInBatch>(std::move(request), model_, context_);
    const std::lock_guard lock(mutex_);
    if (stopping_ || (!accepting_ && !text->request().goes_on)) {
      Overloaded error("the server is stopping: no more requests are taken");
      error.stopping = true;
      throw error;
    }
    sweep_queue();
    const auto places = options_.max_sequences - statistics_.running + options_.queue;
    if (std::ssize(waiting_) >= places) {
      Overloaded error(cat("the queue is full: ", waiting_.size(), " texts wait already"));
      const double seconds = text_seconds_ * static_cast<double>(std::ssize(waiting_) + 1) /
                             static_cast<double>(options_.max_sequences);
      error.retry_after_seconds = std::clamp<int64_t>(static_cast<int64_t>(seconds + 1.0), 1, 60);
      throw error;
    }
    text->set_arrival(++arrivals_);
    waiting_.push_back(text);
    statistics_.waiting = std::ssize(waiting_);
    wake_.notify_all();
    return std::make_shared<Handle>(text->mailbox());
  }

  void stop_accepting() {
    const std::lock_guard lock(mutex_);
    accepting_ = false;
  }

  bool drain(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return idle_.wait_for(lock, timeout, [&] { return waiting_.empty() && statistics_.running == 0; });
  }

  int64_t context() const { return context_; }

  BatcherStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

 private:
  using Text = std::shared_ptr<TextInBatch>;

  void run() {
    for (;;) {
      {
        std::unique_lock lock(mutex_);
        if (running_.empty() && waiting_.empty()) idle_.notify_all();
        wake_.wait(lock, [&] { return stopping_ || !running_.empty() || !waiting_.empty(); });
        if (stopping_) break;
      }
      sweep();
      admit();
      if (!running_.empty()) step();
      retire();
    }
    for (const Text& text : running_) text->finish(StopReason::interrupted);
    const std::lock_guard lock(mutex_);
    for (const Text& text : waiting_) text->finish(StopReason::interrupted);
  }

  /// Ends texts that nobody wants any more, and those whose time is over.
  void sweep() {
    const auto now = Clock::now();
    for (const Text& text : running_) end_if_over(*text, now);
    retire();
    const std::lock_guard lock(mutex_);
    sweep_queue();
  }

  /// Likewise in the queue; with mutex_ held.
  void sweep_queue() {
    const auto now = Clock::now();
    std::erase_if(waiting_, [&](const Text& text) {
      end_if_over(*text, now);
      if (text->is_finished()) count_end(*text);
      return text->is_finished();
    });
    statistics_.waiting = std::ssize(waiting_);
  }

  static void end_if_over(TextInBatch& text, Clock::time_point now) {
    if (text.mailbox()->cancelled()) {
      text.finish(StopReason::interrupted);
    } else if (text.request().deadline && *text.request().deadline <= now) {
      text.finish(StopReason::time_limit);
    }
  }

  /// Takes texts from the queue as long as there are places and pages for their prompts.
  void admit() {
    int64_t promised = 0;  // pages that running texts will soon ask for
    const auto needed = [](const TextInBatch& text) {
      return Transformer::pages_for(text.size() + 1) - std::ssize(text.pages);
    };
    for (const Text& text : running_) promised += std::max<int64_t>(needed(*text), 0);
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty() && std::ssize(running_) < options_.max_sequences) {
      const Text text = waiting_.front();
      promised += needed(*text);
      if (!running_.empty() && promised > pages_.available()) break;
      waiting_.pop_front();
      if (text->root == 0) {
        statistics_.prompt_tokens += static_cast<uint64_t>(text->size());
        text->begin();
      }
      text->root = pages_.root(text->request().adapters);
      text->prefix = text->root;
      running_.push_back(text);
    }
    std::ranges::sort(running_, {}, &TextInBatch::arrival);
    statistics_.running = std::ssize(running_);
    statistics_.waiting = std::ssize(waiting_);
  }

  /// Of the choices that running texts have made, one after another.
  std::vector<ActiveAdapter> next_adapters() {
    std::vector<const std::vector<ActiveAdapter>*> choices;
    for (const Text& text : running_) {
      const auto& adapters = text->request().adapters;
      const auto same = [&](const auto* other) { return *other == adapters; };
      if (std::ranges::none_of(choices, same)) choices.push_back(&adapters);
    }
    return *choices[turn_++ % choices.size()];
  }

  /// One step of the texts with one choice of adapters.
  void step() {
    std::vector<TextInBatch*> all;
    std::vector<TextInBatch*> texts;
    const std::vector<ActiveAdapter> adapters = next_adapters();
    for (const Text& text : running_) {
      all.push_back(text.get());
      if (text->request().adapters == adapters) texts.push_back(text.get());
    }
    StepPlan plan = plan_step(all, texts, pages_,
                              {.batch = paged_.batch(),
                               .prefill_chunk = options_.prefill_chunk,
                               .draft_tokens = options_.draft_tokens});
    send_back(plan.preempted);
    if (plan.parts.empty()) return;
    try {
      if (!paged_.set_adapters(adapters) || !compute(plan.parts)) start_over();
    } catch (const std::exception& error) {
      for (const StepPart& part : plan.parts) part.text->finish(StopReason::interrupted, error.what());
    }
  }

  /// False if the cache was lost with a device.
  bool compute(std::vector<StepPart>& parts) {
    ids_.clear();
    std::vector<TextRows> rows;
    std::vector<int64_t> drawing;  // rows
    bool pools = false;
    for (const StepPart& part : parts) {
      const TextInBatch& text = *part.text;
      const auto some =
          text.tokens().subspan(static_cast<size_t>(text.computed), static_cast<size_t>(part.rows));
      ids_.insert(ids_.end(), some.begin(), some.end());
      if (part.draws) {
        const auto last = std::ssize(ids_) - 1;
        for (int64_t i = 0; i <= std::ssize(part.guesses); ++i) drawing.push_back(last + i);
      }
      ids_.insert(ids_.end(), part.guesses.begin(), part.guesses.end());
      rows.push_back({part.rows + std::ssize(part.guesses), text.computed, text.pages});
      pools = pools || text.request().embed;
    }
    if (!paged_.run(ids_, rows)) return false;
    ++steps_;
    if (pools && !pool(parts)) return false;
    for (StepPart& part : parts) {
      part.text->computed += part.rows;
      publish(*part.text);
    }
    return drawing.empty() || draw(parts, drawing);
  }

  bool pool(const std::vector<StepPart>& parts) {
    std::span<const float> hidden;
    if (!paged_.hidden(hidden)) return false;
    const auto width = static_cast<size_t>(paged_.hidden_size());
    for (const StepPart& part : parts) {
      const auto rows = static_cast<size_t>(part.rows) + part.guesses.size();
      if (part.text->request().embed) part.text->pool(hidden.first(rows * width), part.rows);
      hidden = hidden.subspan(rows * width);
      if (part.text->request().embed && part.rows == part.text->pending()) part.text->finish_embedding();
    }
    return true;
  }

  bool draw(std::vector<StepPart>& parts, const std::vector<int64_t>& rows) {
    WantedLogits wanted;
    if (rows.size() == 1) {
      const auto one = std::ranges::find_if(parts, &StepPart::draws);
      wanted = one->text->wanted();
    }
    std::span<const float> logits;
    if (!paged_.logits(rows, wanted, logits)) return false;
    const auto width = static_cast<size_t>(paged_.vocab_size());
    for (StepPart& part : parts) {
      if (!part.draws) continue;
      try {
        draw(part, logits.first((part.guesses.size() + 1) * width));
      } catch (const ConstraintError& error) {
        part.text->finish(StopReason::interrupted, error.what(), true);
      } catch (const std::exception& error) {
        part.text->finish(StopReason::interrupted, error.what());
      }
      logits = logits.subspan((part.guesses.size() + 1) * width);
    }
    return true;
  }

  /// Draws behind the pending tokens, and then behind each guess that was right.
  void draw(const StepPart& part, std::span<const float> logits) {
    const auto width = static_cast<size_t>(paged_.vocab_size());
    TextInBatch& text = *part.text;
    size_t right = 0;
    const int64_t before = text.usage().completion_tokens;
    while (text.draw(logits.subspan(right * width, width)) && right < part.guesses.size() &&
           text.tokens().back() == part.guesses[right]) {
      ++right;
    }
    drawn_tokens_ += static_cast<uint64_t>(text.usage().completion_tokens - before);
    if (part.guesses.empty()) return;
    text.computed += static_cast<int64_t>(right);
    text.note_guesses(std::ssize(part.guesses), static_cast<int64_t>(right));
    publish(text);
  }

  /// Lets others find the pages that are full now.
  void publish(TextInBatch& text) {
    while ((text.published + 1) * kPageTokens <= text.computed) {
      const auto index = static_cast<size_t>(text.published++);
      const auto tokens = text.tokens().subspan(index * static_cast<size_t>(kPageTokens), kPageTokens);
      pages_.publish(text.pages[index], text.prefix, tokens);
      text.prefix = pages_.prefix_of(text.pages[index]);
    }
  }

  /// Texts wait again, before all that came later.
  void send_back(const std::vector<TextInBatch*>& texts) {
    const std::lock_guard lock(mutex_);
    for (TextInBatch* text : texts) {
      const auto found = std::ranges::find(running_, text, &Text::get);
      const auto place = std::ranges::upper_bound(waiting_, text->arrival(), {}, &TextInBatch::arrival);
      waiting_.insert(place, *found);
      running_.erase(found);
    }
    statistics_.preempted += texts.size();
  }

  /// The cache is gone: every text is computed again.
  void start_over() {
    pages_.forget();
    for (const Text& text : running_) release_pages(*text, pages_);
  }

  /// With mutex_ held.
  void count_end(TextInBatch& text) {
    const BatchUsage& usage = text.usage();
    statistics_.cached_tokens += static_cast<uint64_t>(usage.cached_tokens);
    statistics_.drafted_tokens += static_cast<uint64_t>(usage.drafted_tokens);
    statistics_.accepted_tokens += static_cast<uint64_t>(usage.accepted_tokens);
    const bool cancelled = text.stop_reason() == StopReason::interrupted;
    ++(text.has_failed() ? statistics_.failed : cancelled ? statistics_.cancelled : statistics_.finished);
    text_seconds_ += 0.1 * (usage.seconds - text_seconds_);
  }

  /// Takes finished texts out of the batch.
  void retire() {
    const auto ended =
        std::ranges::stable_partition(running_, [](const Text& text) { return !text->is_finished(); });
    for (const Text& text : ended) release_pages(*text, pages_);
    const std::lock_guard lock(mutex_);
    for (const Text& text : ended) count_end(*text);
    running_.erase(ended.begin(), ended.end());
    statistics_.running = std::ssize(running_);
    statistics_.waiting = std::ssize(waiting_);
    statistics_.pages = pages_.count();
    statistics_.pages_used = pages_.in_use();
    statistics_.pages_cached = pages_.kept();
    statistics_.page_tokens = kPageTokens;
    statistics_.steps += std::exchange(steps_, 0);
    statistics_.completion_tokens += std::exchange(drawn_tokens_, 0);
  }

  const LanguageModel& model_;
  const BatcherOptions options_;
  const SessionOptions session_;
  PagedModel paged_;
  KvPages pages_;
  const int64_t context_;

  // Of the thread.
  std::vector<Text> running_;  // from the oldest on
  size_t turn_ = 0;
  uint64_t steps_ = 0;  // since retire() counted them, like
  uint64_t drawn_tokens_ = 0;
  std::vector<text::TokenId> ids_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable idle_;
  bool accepting_ = true;
  bool stopping_ = false;
  uint64_t arrivals_ = 0;
  std::deque<Text> waiting_;
  BatcherStatistics statistics_;
  double text_seconds_ = 1.0;  // that texts take lately
  std::thread thread_;
};

Batcher::Batcher(const LanguageModel& model, const BatcherOptions& options)
    : loop_(std::make_unique<Loop>(model, options)) {}
Batcher::~Batcher() = default;

std::shared_ptr<BatchText> Batcher::submit(BatchRequest request) {
  return loop_->submit(std::move(request));
}

void Batcher::stop_accepting() {
  loop_->stop_accepting();
}

bool Batcher::drain(std::chrono::milliseconds timeout) {
  return loop_->drain(timeout);
}

int64_t Batcher::context() const {
  return loop_->context();
}

BatcherStatistics Batcher::statistics() const {
  return loop_->statistics();
}

}  // namespace rotor::runtime
