// Lines are shared out to threads in blocks; what becomes of them is taken in order, so that counts, errors
// and the split are those of one thread.
#include "train/data/chat_file.h"

#include <algorithm>
#include <deque>
#include <fstream>
#include <functional>
#include <future>
#include <optional>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/progress.h"
#include "train/data/text_files.h"
#include "train/data/token_cache.h"
#include "train/data/worker_pool.h"

namespace rotor::train {
namespace {

constexpr size_t kBlockLines = 64;

struct Line {
  std::string text;
  int64_t number = 0;
};

/// What became of a line: an item, or why there is none.
template <class Item>
struct Result {
  std::optional<Item> item;
  std::string error;       // of a bad line
  int64_t cut_tokens = 0;  // that it was shortened by
  bool is_too_long = false;
};

/// Shortens to `length` tokens. False if no answer is left.
bool cut(EncodedChat& chat, int64_t length, int64_t& cut_tokens) {
  const auto size = static_cast<int64_t>(chat.tokens.size());
  if (size > length) {
    cut_tokens += size - length;
    chat.tokens.resize(static_cast<size_t>(length));
    chat.targets.resize(static_cast<size_t>(length));
  }
  return chat.num_targets() > 0;
}
bool cut(PreferencePair& pair, int64_t length, int64_t& cut_tokens) {
  return cut(pair.first, length, cut_tokens) && cut(pair.second, length, cut_tokens) &&
         pair.first.tokens != pair.second.tokens;
}

int64_t length_of(const EncodedChat& chat) {
  return static_cast<int64_t>(chat.tokens.size());
}
int64_t length_of(const PreferencePair& pair) {
  return std::max(length_of(pair.first), length_of(pair.second));
}

void require_targets(const EncodedChat& chat) {
  if (chat.num_targets() == 0) fail("the chat template writes nothing of the assistant's answers");
}
void require_targets(const PreferencePair& pair) {
  require_targets(pair.first);
  require_targets(pair.second);
}

template <class Item>
using Encode = std::function<Item(const OrderedJson& line)>;

template <class Item>
Result<Item> read_line(const Line& line, const std::string& file, const TextDataConfig& config,
                       const Encode<Item>& encode) {
  Result<Item> result;
  const std::string source = cat(file, ":", line.number);
  try {
    const OrderedJson json = parse_ordered_json(line.text, source);
    try {
      result.item = encode(json);
      require_targets(*result.item);
    } catch (const Error& e) {
      fail(source, ": ", e.what());
    }
  } catch (const Error& e) {
    return {std::nullopt, e.what()};
  }
  const int64_t length = config.block_size + 1;
  result.is_too_long = length_of(*result.item) > length;
  if (result.is_too_long && (config.too_long == "drop" || !cut(*result.item, length, result.cut_tokens))) {
    result.item.reset();
    result.cut_tokens = 0;
  }
  return result;
}

/// Blocks of lines that are not blank.
class LineReader {
 public:
  explicit LineReader(const std::string& path) : path_(path), file_(path) {
    if (!file_) fail(path, ": cannot open");
  }
  std::vector<Line> next(int64_t& bytes) {
    std::vector<Line> block;
    std::string text;
    while (block.size() < kBlockLines && std::getline(file_, text)) {
      ++number_;
      bytes += static_cast<int64_t>(text.size()) + 1;
      const size_t first = text.find_first_not_of(" \t\r");
      if (first == std::string::npos) continue;
      if (number_ == 1 && text[first] == '[') {
        fail(path_,
             ": expected JSON lines, an object a line; found an array: jq -c '.[]' makes lines of one");
      }
      block.push_back({text, number_});
    }
    if (file_.bad()) fail(path_, ": cannot read line ", number_ + 1);
    return block;
  }

 private:
  std::string path_;
  std::ifstream file_;
  int64_t number_ = 0;
};

template <class Item>
std::vector<Item> read_all(const std::string& path, const TextDataConfig& config, int64_t threads,
                           const Encode<Item>& encode, ChatCounts& all_counts) {
  using Block = std::vector<Result<Item>>;
  const std::vector<TextFile> files = list_text_files(path, TextFormat::jsonl);
  std::vector<Item> items;
  ChatCounts counts;
  std::string first_error;
  const auto take = [&](Block block) {
    for (Result<Item>& result : block) {
      ++counts.lines;
      if (!result.error.empty()) {
        if (!config.skip_bad)
          fail(result.error, "; --skip-bad, or data.skip_bad: true, leaves such lines out");
        if (counts.bad++ == 0) first_error = result.error;
        continue;
      }
      if (result.is_too_long && !result.item) ++counts.dropped;
      if (result.is_too_long && result.item) ++counts.cut;
      counts.cut_tokens += result.cut_tokens;
      if (result.item) items.push_back(*std::move(result.item));
    }
  };
  tool::Progress progress("reading " + path, total_bytes(files));
  int64_t bytes = 0;
  std::deque<std::future<Block>> queue;
  WorkerPool pool(threads);  // last: it ends before what its work uses
  for (const TextFile& file : files) {
    LineReader reader(file.path);
    for (std::vector<Line> lines = reader.next(bytes); !lines.empty(); lines = reader.next(bytes)) {
      if (tool::interrupted()) {
        throw TokenizingInterrupted("interrupted while reading chats; the next start reads them again");
      }
      queue.push_back(pool.submit([&, name = file.path, lines = std::move(lines)] {
        Block block;
        for (const Line& line : lines) block.push_back(read_line(line, name, config, encode));
        return block;
      }));
      if (queue.size() > 4 * static_cast<size_t>(pool.size())) {
        take(queue.front().get());
        queue.pop_front();
        progress.update(bytes, tool::bytes_text(static_cast<double>(bytes)));
      }
    }
  }
  for (; !queue.empty(); queue.pop_front()) take(queue.front().get());
  progress.finish(counts.text(config.block_size));
  all_counts += counts;
  if (items.empty()) {
    fail(path, ": no conversation is left: ", counts.text(config.block_size),
         first_error.empty() ? "" : "; the first bad one: " + first_error);
  }
  return items;
}

/// The share of the items for validation: those whose places have the smallest random numbers.
template <class Item>
void split(std::vector<Item>& items, double fraction, std::vector<Item>& validation) {
  const auto count = static_cast<size_t>(static_cast<double>(items.size()) * fraction + 0.5);
  if (count == 0) return;
  std::vector<std::pair<uint64_t, size_t>> order;
  for (size_t i = 0; i < items.size(); ++i) order.emplace_back(mix_seed(0, i), i);
  std::ranges::nth_element(order, order.begin() + static_cast<std::ptrdiff_t>(count) - 1);
  const uint64_t last = order[count - 1].first;
  std::vector<Item> train;
  for (size_t i = 0; i < items.size(); ++i) {
    (mix_seed(0, i) <= last ? validation : train).push_back(std::move(items[i]));
  }
  items = std::move(train);
}

template <class Item>
ChatSplits<Item> read_splits(const TextDataConfig& config, int64_t threads, const Encode<Item>& encode) {
  ChatSplits<Item> splits;
  splits.train = read_all(config.path, config, threads, encode, splits.counts);
  if (!config.validation_path.empty()) {
    splits.validation = read_all(config.validation_path, config, threads, encode, splits.counts);
  } else {
    split(splits.train, config.validation_fraction, splits.validation);
  }
  if (splits.train.empty())
    fail(config.path, ": all conversations went to validation; lower data.validation_fraction");
  return splits;
}

}  // namespace

ChatCounts& ChatCounts::operator+=(const ChatCounts& other) {
  lines += other.lines;
  bad += other.bad;
  cut += other.cut;
  cut_tokens += other.cut_tokens;
  dropped += other.dropped;
  return *this;
}

std::string ChatCounts::text(int64_t block_size) const {
  std::string text = tool::count_text(lines, "line");
  if (cut > 0)
    text += cat("; ", cut, " longer than ", block_size + 1, " tokens were cut by ", cut_tokens, " tokens");
  if (dropped > 0) text += cat("; ", dropped, " too long ", dropped == 1 ? "was" : "were", " left out");
  if (bad > 0) text += cat("; ", tool::count_text(bad, "bad line"), bad == 1 ? " was" : " were", " skipped");
  return text;
}

ChatSplits<EncodedChat> read_chats(const TextDataConfig& config, const ChatEncoder& encoder,
                                   int64_t threads) {
  return read_splits<EncodedChat>(
      config, threads, [&](const OrderedJson& line) { return encoder.encode(read_chat_record(line)); });
}

ChatSplits<PreferencePair> read_preferences(const TextDataConfig& config, const ChatEncoder& encoder,
                                            int64_t threads) {
  return read_splits<PreferencePair>(
      config, threads, [&](const OrderedJson& line) { return encoder.encode(read_preference_record(line)); });
}

}  // namespace rotor::train
