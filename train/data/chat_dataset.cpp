// Which epoch a row lies in follows from how many rows the epochs before it have, which is found out once.
#include "train/data/chat_dataset.h"

#include <algorithm>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"

namespace rotor::train {
namespace {

constexpr uint64_t kEvaluationSeed = 0;
constexpr size_t kKeptPackings = 4;

}  // namespace

ChatDataset::ChatDataset(std::vector<EncodedChat> chats, int64_t block_size) : block_size_(block_size) {
  starts_.push_back(0);
  for (const EncodedChat& chat : chats) {
    const auto length = static_cast<int64_t>(chat.tokens.size());
    if (length < 2 || length > block_size + 1 || chat.targets.size() != chat.tokens.size()) {
      fail("chat dataset: expected 2 to ", block_size + 1, " tokens, found ", length);
    }
    tokens_.insert(tokens_.end(), chat.tokens.begin(), chat.tokens.end());
    targets_.insert(targets_.end(), chat.targets.begin(), chat.targets.end());
    num_targets_ += std::count(chat.targets.begin() + 1, chat.targets.end(), true);
    starts_.push_back(num_tokens());
    lengths_.push_back(static_cast<int32_t>(length - 1));
  }
}

std::shared_ptr<const PackedRows> ChatDataset::packed(uint64_t seed, int64_t epoch) const {
  const std::lock_guard lock(mutex_);
  auto& known = packed_[{seed, epoch}];
  if (known == nullptr) {
    known = std::make_shared<PackedRows>(pack_rows(lengths_, block_size_, seed, epoch));
    const auto result = known;
    while (packed_.size() > kKeptPackings) {
      packed_.erase(packed_.begin()->first == std::pair(seed, epoch) ? std::prev(packed_.end())
                                                                     : packed_.begin());
    }
    return result;
  }
  return known;
}

TokenBatch ChatDataset::rows(const WindowRequest& request) const {
  if (lengths_.empty()) fail("the training split holds no conversation");
  const auto [first, end] = row_range(request);
  std::vector<std::pair<std::shared_ptr<const PackedRows>, int64_t>> rows;
  for (int64_t row = first; row < end; ++row) {
    const int64_t sample = request.step * request.batch_size + row;
    std::unique_lock lock(mutex_);
    std::vector<int64_t>& starts =
        epoch_starts_.try_emplace(request.seed, std::vector<int64_t>{0}).first->second;
    while (starts.back() <= sample) {
      const auto epoch = static_cast<int64_t>(starts.size()) - 1;
      lock.unlock();
      const int64_t count = packed(request.seed, epoch)->count();
      lock.lock();
      if (static_cast<int64_t>(starts.size()) == epoch + 1) starts.push_back(starts.back() + count);
    }
    const auto after = std::ranges::upper_bound(starts, sample);
    const auto epoch = static_cast<int64_t>(after - starts.begin()) - 1;
    const int64_t before = starts[static_cast<size_t>(epoch)];
    lock.unlock();
    rows.emplace_back(packed(request.seed, epoch), sample - before);
  }
  return gather(rows);
}

int64_t ChatDataset::rows_in_epochs(int64_t epochs, uint64_t seed) const {
  int64_t rows = 0;
  for (int64_t epoch = 0; epoch < epochs; ++epoch) rows += packed(seed, epoch)->count();
  return rows;
}

std::string ChatDataset::data_checksum() const {
  Checksum sum;
  const auto add = [&](const auto& values) {
    sum.add({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(values[0])});
  };
  add(tokens_);
  add(starts_);
  add(std::vector<uint8_t>(targets_.begin(), targets_.end()));
  return sum.text();
}

int64_t ChatDataset::num_rows() const {
  return lengths_.empty() ? 0 : packed(kEvaluationSeed, -1)->count();
}

TokenBatch ChatDataset::rows(int64_t first, int64_t count) const {
  const auto all = packed(kEvaluationSeed, -1);
  if (first < 0 || count < 1 || first + count > all->count()) {
    fail("rows ", first, " to ", first + count - 1, " of ", all->count(), " do not exist");
  }
  std::vector<std::pair<std::shared_ptr<const PackedRows>, int64_t>> rows;
  for (int64_t row = first; row < first + count; ++row) rows.emplace_back(all, row);
  return gather(rows);
}

TokenBatch ChatDataset::gather(
    const std::vector<std::pair<std::shared_ptr<const PackedRows>, int64_t>>& rows) const {
  const std::vector<int64_t> shape = {static_cast<int64_t>(rows.size()), block_size_};
  TokenBatch batch{torch::zeros(shape, torch::kInt64), torch::full(shape, kNoTarget, torch::kInt64),
                   torch::zeros(shape, torch::kInt64)};
  auto* inputs = batch.inputs.data_ptr<int64_t>();
  auto* targets = batch.targets.data_ptr<int64_t>();
  auto* segments = batch.segments.data_ptr<int64_t>();
  for (const auto& [packing, row] : rows) {
    int64_t place = 0;
    int64_t segment = 0;
    for (const int64_t item : packing->row(row)) {
      const auto start = static_cast<size_t>(starts_[static_cast<size_t>(item)]);
      const auto length = static_cast<size_t>(lengths_[static_cast<size_t>(item)]);
      for (size_t i = 0; i < length; ++i, ++place) {
        inputs[place] = tokens_[start + i];
        if (targets_[start + i + 1]) targets[place] = tokens_[start + i + 1];
        segments[place] = segment;
      }
      ++segment;
    }
    for (; place < block_size_; ++place) segments[place] = segment;  // padding, which predicts nothing
    inputs += block_size_;
    targets += block_size_;
    segments += block_size_;
  }
  return batch;
}

}  // namespace rotor::train
