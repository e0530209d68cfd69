#include "runtime/engine/texts_together.h"

#include <algorithm>
#include <numeric>

namespace rotor::runtime {
namespace {

void check(bool computed) {
  if (!computed) fail("the device was lost: nothing was measured");
}

}  // namespace

SessionOptions TextsTogether::with_pages(SessionOptions options, int64_t texts) {
  options.kv_pages = texts * Transformer::pages_for(options.context);
  options.batch = std::max(options.batch, texts);
  return options;
}

TextsTogether::TextsTogether(const LanguageModel& model, const SessionOptions& options, int64_t texts)
    : paged_(model.transformer(), model.place(with_pages(options, texts)), with_pages(options, texts)),
      pages_(static_cast<size_t>(texts)),
      rows_(static_cast<size_t>(texts)) {
  const int64_t pages = Transformer::pages_for(options.context);
  for (size_t i = 0; i < pages_.size(); ++i) {
    pages_[i].resize(static_cast<size_t>(pages));
    std::iota(pages_[i].begin(), pages_[i].end(), static_cast<int32_t>(i) * static_cast<int32_t>(pages));
  }
  std::iota(rows_.begin(), rows_.end(), 0);
}

void TextsTogether::begin(std::span<const text::TokenId> ids) {
  for (const auto& pages : pages_) {
    for (size_t first = 0; first < ids.size(); first += static_cast<size_t>(paged_.batch())) {
      const auto part = ids.subspan(first, std::min(static_cast<size_t>(paged_.batch()), ids.size() - first));
      const TextRows rows{std::ssize(part), static_cast<int64_t>(first), pages};
      check(paged_.run(part, {&rows, 1}));
    }
  }
  position_ = std::ssize(ids);
}

void TextsTogether::decode(text::TokenId id) {
  const std::vector<text::TokenId> ids(pages_.size(), id);
  std::vector<TextRows> rows;
  for (const auto& pages : pages_) rows.push_back({1, position_, pages});
  check(paged_.run(ids, rows));
  std::span<const float> logits;
  check(paged_.logits(rows_, {}, logits));
  ++position_;
}

}  // namespace rotor::runtime
