// Windows of a corpus as tensors.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <set>

#include "rotor/core/error.h"
#include "tests/train/text_corpus.h"
#include "train/data/text_dataset.h"
#include "train/data/window_order.h"

namespace rotor::train {
namespace {

using test::ByteTokenizer;
using test::expect_error;
using test::kBos;
using test::kEos;
using test::small_text_config;
using test::TempDir;
using test::write_bytes;

TextCorpus open_corpus(const TextDataConfig& config) {
  return open_text_corpus(config, ByteTokenizer(), "hash", kBos, kEos, 2);
}

std::vector<int64_t> row(const torch::Tensor& tensor, int64_t index) {
  const torch::Tensor values = tensor[index].contiguous();
  return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
}

/// A corpus of one text, in which the byte at i is the i-th of 0, 1, ... 99; all of it is for training.
class OneText : public ::testing::Test {
 protected:
  OneText() : config_(small_text_config(dir_, "f")) {
    std::string text;
    for (char c = 0; c < 100; ++c) text += c;
    write_bytes(dir_.file("f"), text);
    config_.validation_fraction = 0;
  }

  /// Expects a window as nanoGPT draws it; gives its start.
  static int64_t expect_window(const TokenBatch& batch, int64_t index, int64_t block_size) {
    const auto inputs = row(batch.inputs, index);
    const auto targets = row(batch.targets, index);
    EXPECT_EQ(static_cast<int64_t>(inputs.size()), block_size);
    for (size_t t = 0; t < inputs.size(); ++t) {
      EXPECT_EQ(inputs[t], inputs[0] + static_cast<int64_t>(t));
      EXPECT_EQ(targets[t], inputs[t] + 1);
    }
    return inputs[0];
  }

  TempDir dir_;
  TextDataConfig config_;
};

TEST_F(OneText, CountsTokensAndWindows) {
  const TextCorpus corpus = open_corpus(config_);
  EXPECT_TRUE(corpus.tokenized_now);
  EXPECT_FALSE(open_corpus(config_).tokenized_now);
  EXPECT_EQ(corpus.train.num_tokens(), 100);
  EXPECT_EQ(corpus.train.num_documents(), 1);
  EXPECT_EQ(corpus.train.num_text_bytes(), 100);
  // The last window needs one more token as its target.
  for (const auto& [block_size, windows] : {std::pair{1, 99}, {9, 11}, {10, 9}, {33, 3}, {99, 1}, {100, 0}}) {
    EXPECT_EQ(corpus.train.num_windows(block_size), windows) << block_size;
  }
  EXPECT_EQ(corpus.validation.num_tokens(), 0);
  EXPECT_EQ(corpus.validation.num_windows(1), 0);
  expect_error([&] { corpus.validation.windows(0, 1, 1); }, {"validation split holds 0 tokens", "shorter"});
}

TEST_F(OneText, RandomWindowsStartAnywhere) {
  const TextDataset data = open_corpus(config_).train;
  std::set<int64_t> starts;
  for (int64_t step = 0; step < 300; ++step) {
    const TokenBatch batch =
        data.random_windows({.seed = 1, .step = step, .batch_size = 4, .block_size = 90});
    EXPECT_EQ(batch.inputs.sizes(), (std::vector<int64_t>{4, 90}));
    EXPECT_EQ(batch.inputs.scalar_type(), torch::kInt64);
    EXPECT_FALSE(batch.segments.defined());
    for (int64_t i = 0; i < 4; ++i) starts.insert(expect_window(batch, i, 90));
  }
  EXPECT_EQ(*starts.begin(), 0);
  EXPECT_EQ(*starts.rbegin(), 9);  // N - T - 1
  EXPECT_EQ(starts.size(), 10U);
  // The longest window there can be.
  EXPECT_EQ(expect_window(data.random_windows({.block_size = 99}), 0, 99), 0);
  expect_error([&] { data.random_windows({.block_size = 100}); },
               {"train split holds 100 tokens", "window of 100"});
}

TEST_F(OneText, RandomWindowsAreAFunctionOfSeedStepAndRow) {
  const TextDataset data = open_corpus(config_).train;
  const WindowRequest request{.seed = 5, .step = 7, .batch_size = 6, .block_size = 10};
  const TokenBatch batch = data.random_windows(request);
  EXPECT_TRUE(torch::equal(open_corpus(config_).train.random_windows(request).inputs, batch.inputs));
  WindowRequest other = request;
  other.seed = 6;
  EXPECT_FALSE(torch::equal(data.random_windows(other).inputs, batch.inputs));
  other = request;
  other.step = 8;
  EXPECT_FALSE(torch::equal(data.random_windows(other).inputs, batch.inputs));
}

TEST_F(OneText, RowsOfABatchCanBeAskedForInParts) {
  const TextDataset data = open_corpus(config_).train;
  for (const bool random : {true, false}) {
    const auto get = [&](const WindowRequest& request) {
      return random ? data.random_windows(request) : data.sequential_windows(request);
    };
    WindowRequest request{.seed = 5, .step = 7, .batch_size = 6, .block_size = 10};
    const TokenBatch whole = get(request);
    request.first_row = 2;
    request.num_rows = 3;
    EXPECT_TRUE(torch::equal(get(request).inputs, whole.inputs.slice(0, 2, 5)));
    request.num_rows = -1;
    EXPECT_TRUE(torch::equal(get(request).targets, whole.targets.slice(0, 2, 6)));
    request.num_rows = 5;
    expect_error([&] { get(request); }, {"rows 2 to 6 of a batch of 6"});
    request.num_rows = 0;
    expect_error([&] { get(request); }, {"of a batch of 6"});
  }
}

TEST_F(OneText, SequentialWindowsComeOnceAnEpoch) {
  const TextDataset data = open_corpus(config_).train;
  const auto starts_of_epochs = [&](uint64_t seed) {
    std::vector<int64_t> starts;  // 9 windows of 10: three batches of 6 are two epochs
    for (int64_t step = 0; step < 3; ++step) {
      const TokenBatch batch = data.sequential_windows({seed, step, 6, 10});
      for (int64_t i = 0; i < 6; ++i) starts.push_back(expect_window(batch, i, 10));
    }
    return starts;
  };
  const auto starts = starts_of_epochs(1);
  const std::vector<int64_t> first(starts.begin(), starts.begin() + 9);
  const std::vector<int64_t> second(starts.begin() + 9, starts.end());
  const std::set<int64_t> all = {0, 10, 20, 30, 40, 50, 60, 70, 80};
  EXPECT_EQ(std::set(first.begin(), first.end()), all);
  EXPECT_EQ(std::set(second.begin(), second.end()), all);
  EXPECT_NE(first, second);
  EXPECT_EQ(starts_of_epochs(1), starts);
  EXPECT_NE(starts_of_epochs(2), starts);
  expect_error([&] { data.sequential_windows({.block_size = 100}); }, {"shorter than one window of 100"});
}

TEST_F(OneText, EvaluationCoversTheSplitInOrder) {
  const TextDataset data = open_corpus(config_).train;
  const TokenBatch first = data.windows(0, 5, 10);
  const TokenBatch rest = data.windows(5, 4, 10);
  for (int64_t window = 0; window < 9; ++window) {
    const TokenBatch& batch = window < 5 ? first : rest;
    EXPECT_EQ(expect_window(batch, window < 5 ? window : window - 5, 10), 10 * window);
  }
  expect_error([&] { data.windows(5, 5, 10); }, {"windows 5 to 9", "has 9 of 10 tokens"});
  expect_error([&] { data.windows(-1, 1, 10); }, {"do not exist"});
  expect_error([&] { data.windows(0, 0, 10); }, {"do not exist"});
  expect_error([&] { data.windows(0, 1, 100); }, {"shorter than one window of 100"});
  expect_error([&] { data.windows(0, 1, 0); }, {"block_size"});
}

TEST_F(OneText, TheChecksumChangesWithTheTokens) {
  const std::string sum = open_corpus(config_).train.data_checksum();
  EXPECT_EQ(open_corpus(config_).train.data_checksum(), sum);
  std::string text = test::read_bytes(dir_.file("f"));
  text[50] = 'x';
  write_bytes(dir_.file("f"), text + "y");
  EXPECT_NE(open_corpus(config_).train.data_checksum(), sum);
}

/// Documents "ab", "c", "defg", ... as [bos] bytes [eos].
class Packed : public ::testing::Test {
 protected:
  Packed() {
    TextDataConfig config = small_text_config(dir_, "f", "jsonl");
    config.validation_fraction = 0;
    std::string lines;
    for (const char* text : {"ab", "c", "defg", "h", "i", "jklmnopqrstuvwxyz"}) {
      lines += cat("{\"text\": \"", text, "\"}\n");
    }
    write_bytes(dir_.file("f"), lines);
    data_ = std::make_unique<TextDataset>(open_corpus(config).train);
  }

  TempDir dir_;
  std::unique_ptr<TextDataset> data_;
};

TEST_F(Packed, NothingIsPredictedAcrossABorder) {
  EXPECT_EQ(data_->num_documents(), 6);
  EXPECT_EQ(data_->num_tokens(), 26 + 2 * 6);
  // Stream:  [a b] [c] [d e f g] [h] [i] ..., a document starts at 0, 4, 7, 13, 16, 19.
  const TokenBatch batch = data_->windows(0, 2, 10);
  EXPECT_EQ(row(batch.inputs, 0),
            (std::vector<int64_t>{kBos, 'a', 'b', kEos, kBos, 'c', kEos, kBos, 'd', 'e'}));
  EXPECT_EQ(row(batch.targets, 0),
            (std::vector<int64_t>{'a', 'b', kEos, kNoTarget, 'c', kEos, kNoTarget, 'd', 'e', 'f'}));
  EXPECT_EQ(row(batch.segments, 0), (std::vector<int64_t>{0, 0, 0, 0, 1, 1, 1, 2, 2, 2}));
  EXPECT_EQ(row(batch.inputs, 1),
            (std::vector<int64_t>{'f', 'g', kEos, kBos, 'h', kEos, kBos, 'i', kEos, kBos}));
  EXPECT_EQ(row(batch.targets, 1),
            (std::vector<int64_t>{'g', kEos, kNoTarget, 'h', kEos, kNoTarget, 'i', kEos, kNoTarget, 'j'}));
  EXPECT_EQ(row(batch.segments, 1), (std::vector<int64_t>{0, 0, 0, 1, 1, 1, 2, 2, 2, 3}));
}

TEST_F(Packed, SegmentsAreThereOnlyIfAWindowHoldsSeveralDocuments) {
  // Windows of one token: the border lies behind the input, never before it.
  const TokenBatch single = data_->windows(0, 20, 1);
  EXPECT_FALSE(single.segments.defined());
  EXPECT_EQ(single.targets[3].item<int64_t>(), kNoTarget);
  EXPECT_EQ(single.targets[6].item<int64_t>(), kNoTarget);
  // 20 to 29 lies in the last document, 0 to 3 is the first.
  EXPECT_FALSE(data_->windows(2, 1, 10).segments.defined());
  const TokenBatch first = data_->windows(0, 1, 4);
  EXPECT_FALSE(first.segments.defined());
  EXPECT_EQ(row(first.targets, 0), (std::vector<int64_t>{'a', 'b', kEos, kNoTarget}));
  // One row with a border is enough; the other rows are 0.
  const TokenBatch mixed = data_->windows(1, 2, 10);
  EXPECT_EQ(row(mixed.segments, 1), std::vector<int64_t>(10, 0));
}

TEST_F(Packed, EveryWindowAgreesWithTheStream) {
  const std::vector<int64_t> starts = {0, 4, 7, 13, 16, 19};
  const TokenBatch stream = data_->windows(0, 37, 1);
  for (const int64_t block_size : {1, 2, 3, 7, 36, 37}) {
    const TokenBatch batch = data_->random_windows({.seed = 3, .batch_size = 1000, .block_size = block_size});
    std::set<int64_t> seen;
    for (int64_t index = 0; index < 1000; ++index) {
      const int64_t begin = random_start(3, 0, index, 38 - block_size);
      seen.insert(begin);
      const torch::Tensor expected_inputs = stream.inputs.slice(0, begin, begin + block_size).flatten();
      const torch::Tensor expected_targets = stream.targets.slice(0, begin, begin + block_size).flatten();
      EXPECT_TRUE(torch::equal(batch.inputs[index], expected_inputs));
      EXPECT_TRUE(torch::equal(batch.targets[index], expected_targets));
      int64_t segment = 0;
      for (int64_t t = 0; t < block_size && batch.segments.defined(); ++t) {
        if (t > 0 && std::count(starts.begin(), starts.end(), begin + t) > 0) ++segment;
        EXPECT_EQ(batch.segments[index][t].item<int64_t>(), segment);
      }
    }
    EXPECT_EQ(seen.count(0), 1U);
    EXPECT_EQ(static_cast<int64_t>(seen.size()), 38 - block_size);
  }
}

}  // namespace
}  // namespace rotor::train
