// From places in the stream to tensors.
#include "train/data/text_dataset.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "rotor/core/error.h"
#include "train/data/window_order.h"

namespace rotor::train {
std::pair<int64_t, int64_t> row_range(const WindowRequest& request) {
  const int64_t end = request.num_rows < 0 ? request.batch_size : request.first_row + request.num_rows;
  if (request.first_row < 0 || request.first_row >= end || end > request.batch_size) {
    fail("rows ", request.first_row, " to ", end - 1, " of a batch of ", request.batch_size, " do not exist");
  }
  return {request.first_row, end};
}

int64_t TextDataset::num_windows(int64_t block_size) const {
  return num_tokens() > 0 ? (num_tokens() - 1) / block_size : 0;
}

void TextDataset::require_window(int64_t block_size) const {
  if (block_size < 1) fail("block_size: expected at least 1, found ", block_size);
  if (num_tokens() > block_size) return;
  fail(split_.directory(), ": the ", split_.name(), " split holds ", num_tokens(),
       " tokens: shorter than one window of ", block_size, " and the token behind it");
}

TokenBatch TextDataset::random_windows(const WindowRequest& request) const {
  require_window(request.block_size);
  std::vector<int64_t> starts;
  const auto [first, end] = row_range(request);
  for (int64_t row = first; row < end; ++row) {
    starts.push_back(random_start(request.seed, request.step, row, num_tokens() - request.block_size));
  }
  return gather(starts, request.block_size);
}

TokenBatch TextDataset::sequential_windows(const WindowRequest& request) const {
  require_window(request.block_size);
  std::vector<int64_t> starts;
  const int64_t count = num_windows(request.block_size);
  const auto [first, end] = row_range(request);
  for (int64_t row = first; row < end; ++row) {
    const int64_t sample = request.step * request.batch_size + row;
    const int64_t window = shuffled_index(request.seed, sample / count, sample % count, count);
    starts.push_back(window * request.block_size);
  }
  return gather(starts, request.block_size);
}

TokenBatch TextDataset::windows(int64_t first, int64_t count, int64_t block_size) const {
  require_window(block_size);
  if (first < 0 || count < 1 || count > num_windows(block_size) || first > num_windows(block_size) - count) {
    fail(split_.directory(), ": windows ", first, " to ", first + count - 1, " of the ", split_.name(),
         " split do not exist: it has ", num_windows(block_size), " of ", block_size, " tokens");
  }
  std::vector<int64_t> starts;
  for (int64_t window = first; window < first + count; ++window) starts.push_back(window * block_size);
  return gather(starts, block_size);
}

TokenBatch TextDataset::gather(const std::vector<int64_t>& starts, int64_t block_size) const {
  const std::vector<int64_t> shape = {static_cast<int64_t>(starts.size()), block_size};
  TokenBatch batch{torch::empty(shape, torch::kInt64), torch::empty(shape, torch::kInt64), {}};
  torch::Tensor segments = torch::zeros(shape, torch::kInt64);
  bool has_segments = false;
  std::vector<int64_t> tokens(static_cast<size_t>(block_size) + 1);
  for (size_t row = 0; row < starts.size(); ++row) {
    const int64_t offset = static_cast<int64_t>(row) * block_size;
    int64_t* targets = batch.targets.data_ptr<int64_t>() + offset;
    split_.read(starts[row], tokens);
    std::copy(tokens.begin(), tokens.end() - 1, batch.inputs.data_ptr<int64_t>() + offset);
    std::copy(tokens.begin() + 1, tokens.end(), targets);
    for (const int64_t start : split_.document_starts(starts[row] + 1, starts[row] + block_size + 1)) {
      const int64_t place = start - starts[row];  // 1 to block_size
      targets[place - 1] = kNoTarget;
      if (place == block_size) continue;
      has_segments = true;
      int64_t* row_segments = segments.data_ptr<int64_t>() + offset;
      for (int64_t t = place; t < block_size; ++t) ++row_segments[t];
    }
  }
  if (has_segments) batch.segments = segments;
  return batch;
}

TextCorpus open_text_corpus(const TextDataConfig& config, const text::Tokenizer& tokenizer,
                            const std::string& tokenizer_hash, std::optional<text::TokenId> bos,
                            std::optional<text::TokenId> eos, int64_t threads) {
  TokenCache cache = open_token_cache(config, {&tokenizer, tokenizer_hash, bos, eos}, threads);
  return {TextDataset(std::move(cache.train)), TextDataset(std::move(cache.validation)), cache.tokenized_now};
}

}  // namespace rotor::train
