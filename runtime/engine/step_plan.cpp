#include "runtime/engine/step_plan.h"

#include <algorithm>
#include <iterator>
#include <ranges>
#include <span>
#include <utility>

namespace rotor::runtime {
namespace {

class Planner {
 public:
  Planner(std::span<TextInBatch* const> all, std::span<TextInBatch* const> texts, KvPages& pages,
          const StepLimits& limits)
      : all_(all), texts_(texts), pages_(pages), limits_(limits) {}

  StepPlan run() {
    decode();
    prefill();
    return std::move(plan_);
  }

 private:
  void decode() {
    std::vector<TextInBatch*> decoding;
    std::ranges::copy_if(texts_, std::back_inserter(decoding), &TextInBatch::is_decoding);
    // Guesses are checked at little cost as long as reading the weights is what takes the time.
    int64_t spare = std::min(kGuessedRows, limits_.batch) - std::ssize(decoding);
    if (decoding.size() < texts_.size()) --spare;  // a row is left for prompts, however small a batch is
    for (TextInBatch* text : decoding) {
      if (rows_ == limits_.batch) return;
      if (is_preempted(text)) continue;
      StepPart part{.text = text, .rows = 1, .guesses = {}, .draws = false};
      if (spare > 0 && limits_.draft_tokens > 0) {
        part.guesses = text->guess(std::min(limits_.draft_tokens, spare));
        spare -= std::ssize(part.guesses);
      }
      add(std::move(part));
    }
  }

  void prefill() {
    std::vector<TextInBatch*> prompts;
    for (TextInBatch* text : texts_) {
      if (text->is_decoding() || is_preempted(text)) continue;
      adopt(*text);
      if (!waits_for_page(*text)) prompts.push_back(text);
    }
    if (prompts.empty()) return;
    int64_t room = limits_.batch - rows_;
    if (rows_ > 0) room = std::min(room, limits_.prefill_chunk);
    TextInBatch* oldest = prompts.front();
    const int64_t others = room - std::min(oldest->pending(), (room + 1) / 2);
    std::ranges::stable_sort(prompts.begin() + 1, prompts.end(), {}, &TextInBatch::pending);
    int64_t left = others;
    std::vector<std::pair<TextInBatch*, int64_t>> shares;
    for (TextInBatch* text : std::span(prompts).subspan(1)) {
      const int64_t rows = std::min(text->pending(), left);
      if (rows > 0) shares.emplace_back(text, rows);
      left -= rows;
    }
    shares.emplace(shares.begin(), oldest, std::min(oldest->pending(), room - others + left));
    for (const auto& [text, rows] : shares) {
      if (rows > 0 && !is_preempted(text)) add({.text = text, .rows = rows, .guesses = {}, .draws = false});
    }
  }

  /// Takes pages that hold what the text goes on with. The last token is always computed: its logits are
  /// wanted; and all are for an embedding.
  void adopt(TextInBatch& text) {
    const int64_t page_tokens = pages_.page_tokens();
    while (!text.request().embed && text.computed == std::ssize(text.pages) * page_tokens &&
           text.published == std::ssize(text.pages) && text.pending() > page_tokens) {
      const auto page = pages_.find(text.prefix, next_page(text));
      if (!page) return;
      text.pages.push_back(*page);
      text.prefix = pages_.prefix_of(*page);
      ++text.published;
      text.computed += page_tokens;
      if (text.usage().completion_tokens == 0) text.usage().cached_tokens += page_tokens;
    }
  }

  std::span<const text::TokenId> next_page(const TextInBatch& text) const {
    const auto page_tokens = static_cast<size_t>(pages_.page_tokens());
    return text.tokens().subspan(static_cast<size_t>(text.published) * page_tokens, page_tokens);
  }

  bool waits_for_page(const TextInBatch& text) const {
    const int64_t page_tokens = pages_.page_tokens();
    if (text.request().embed || text.computed != text.published * page_tokens ||
        text.pending() <= page_tokens) {
      return false;
    }
    return std::ranges::any_of(texts_, [&](const TextInBatch* other) {
      return other->arrival() < text.arrival() && !is_preempted(other) && other->prefix == text.prefix &&
             other->size() >= (other->published + 1) * page_tokens &&
             std::ranges::equal(next_page(*other), next_page(text));
    });
  }

  bool is_preempted(const TextInBatch* text) const {
    return std::ranges::find(plan_.preempted, text) != plan_.preempted.end();
  }

  /// Adds as much of the part as there are pages for. For its rows younger texts give up theirs, for guesses
  /// nobody does.
  void add(StepPart part) {
    TextInBatch& text = *part.text;
    part.rows = std::min(part.rows, room_in_pages(text, part.rows, true));
    if (part.rows == 0) return;
    const int64_t wanted = part.rows + std::ssize(part.guesses);
    part.guesses.resize(
        static_cast<size_t>(std::min(wanted, room_in_pages(text, wanted, false)) - part.rows));
    rows_ += part.rows + std::ssize(part.guesses);
    part.draws = !text.request().embed && part.rows == text.pending();
    plan_.parts.push_back(std::move(part));
  }

  /// Takes pages for `rows` more tokens. Returns for how many there are some then.
  int64_t room_in_pages(TextInBatch& text, int64_t rows, bool preempt) {
    const auto room = [&] { return std::ssize(text.pages) * pages_.page_tokens() - text.computed; };
    while (room() < rows) {
      if (const auto page = pages_.take()) {
        text.pages.push_back(*page);
      } else if (!preempt || !preempt_younger_than(text)) {
        break;
      }
    }
    return room();
  }

  bool preempt_younger_than(const TextInBatch& text) {
    for (TextInBatch* other : all_ | std::views::reverse) {
      if (other->arrival() <= text.arrival()) return false;
      const bool planned = std::ranges::find(plan_.parts, other, &StepPart::text) != plan_.parts.end();
      if (planned || other->pages.empty()) continue;
      release_pages(*other, pages_);
      plan_.preempted.push_back(other);
      return true;
    }
    return false;
  }

  static constexpr int64_t kGuessedRows = 8;

  std::span<TextInBatch* const> all_;
  std::span<TextInBatch* const> texts_;
  KvPages& pages_;
  const StepLimits& limits_;
  StepPlan plan_;
  int64_t rows_ = 0;
};

}  // namespace

void release_pages(TextInBatch& text, KvPages& pages) {
  for (const int32_t page : text.pages | std::views::reverse) pages.release(page);
  text.lose_cache();
}

StepPlan plan_step(std::span<TextInBatch* const> all, std::span<TextInBatch* const> texts, KvPages& pages,
                   const StepLimits& limits) {
  return Planner(all, texts, pages, limits).run();
}

}  // namespace rotor::runtime
