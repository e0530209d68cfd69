// Draws lines for the library's trainer, and says its errors in our words.
#include "rotor/text/train_sentencepiece.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "rotor/core/error.h"
#include "rotor/core/mix_seed.h"

namespace rotor::text {
namespace {

constexpr size_t kMaxSentenceBytes = 4096;            // the library leaves out what is longer than 4192
constexpr int64_t kAllCharacters = int64_t{1} << 21;  // more than there are code points
constexpr int64_t kMaxVocab = int64_t{1} << 24;
constexpr double kLeastCoverage = 0.98;  // the library's limit

/// A sample of fixed size out of a stream (Vitter 1985, algorithm R), as the library wants to read it.
class Sample final : public sentencepiece::SentenceIterator {
 public:
  Sample(size_t size, uint64_t seed) : size_(size), seed_(seed) {}

  void add(std::string_view sentence) {
    ++seen_;
    if (sentences_.size() < size_) {
      sentences_.emplace_back(sentence);
    } else if (const uint64_t place = mix_seed(seed_, draws_++) % seen_; place < size_) {
      sentences_[static_cast<size_t>(place)] = sentence;
    }
  }
  bool empty() const { return sentences_.empty(); }

  bool done() const override { return next_ == sentences_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return sentences_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  size_t size_;
  uint64_t seed_;
  uint64_t draws_ = 0;
  uint64_t seen_ = 0;
  std::vector<std::string> sentences_;
  size_t next_ = 0;
};

/// Where a line that is too long is cut: behind its last word that fits, else between characters.
size_t sentence_end(std::string_view line) {
  if (line.size() <= kMaxSentenceBytes) return line.size();
  const size_t space = line.rfind(' ', kMaxSentenceBytes - 1);
  if (space != std::string_view::npos && space > 0) return space;
  size_t end = kMaxSentenceBytes;
  while (end > kMaxSentenceBytes - 4 && (static_cast<uint8_t>(line[end]) & 0xC0) == 0x80) --end;
  return end;
}

void add_lines(std::string_view text, Sample& sample) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    while (!line.empty()) {
      const size_t end = sentence_end(line);
      sample.add(line.substr(0, end));
      line.remove_prefix(end);
    }
  }
}

void check(const SentencePieceOptions& options) {
  const std::string& type = options.model_type;
  if (type != "unigram" && type != "bpe" && type != "char") {
    fail("model_type: expected unigram, bpe or char, found \"", type, "\"");
  }
  const int64_t least = type == "char" ? 0 : 1;
  if (options.vocab_size < least || options.vocab_size > kMaxVocab) {
    fail("vocab_size: expected ", least, " to ", kMaxVocab, ", found ", options.vocab_size);
  }
  if (options.max_sentences < 1) fail("max_sentences: expected at least 1, found ", options.max_sentences);
  const double coverage = options.character_coverage.value_or(1.0);
  if (!(coverage >= kLeastCoverage && coverage <= 1.0)) {
    fail("character_coverage: expected ", kLeastCoverage, " to 1, found ", coverage);
  }
}

/// The whole number behind `words` in the library's message; -1 if there is none.
int64_t number_behind(std::string_view message, std::string_view words) {
  const size_t at = message.find(words);
  int64_t number = -1;
  if (at != std::string_view::npos) {
    const std::string_view rest = message.substr(at + words.size());
    std::from_chars(rest.data(), rest.data() + rest.size(), number);
  }
  return number;
}

[[noreturn]] void fail_training(const SentencePieceOptions& options, const std::string& message) {
  if (const int64_t most = number_behind(message, "set it to a value <= "); most >= 0) {
    fail("vocab_size: expected at most ", most, ", which is all that these texts give, found ",
         options.vocab_size);
  }
  if (const int64_t least = number_behind(message, " vs ");
      message.find("required_chars") != std::string::npos) {
    fail("vocab_size: expected at least ", least, ", the number of characters and special tokens, found ",
         options.vocab_size, "; a lower character_coverage needs less");
  }
  fail("cannot train a SentencePiece model: ", message);
}

}  // namespace

std::string train_sentencepiece(const SentencePieceOptions& options, const NextText& texts) {
  check(options);
  Sample sample(static_cast<size_t>(options.max_sentences), options.seed);
  for (std::string text; texts(text);) add_lines(text, sample);
  if (sample.empty()) fail("cannot train a SentencePiece model: the texts are empty");
  const bool is_char = options.model_type == "char";
  const int64_t vocab_size = options.vocab_size == 0 ? kAllCharacters : options.vocab_size;
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", options.model_type},
      {"vocab_size", cat(vocab_size)},
      {"byte_fallback", options.byte_fallback ? "true" : "false"},
      {"character_coverage", cat(options.character_coverage.value_or(is_char ? 1.0 : 0.9995))},
      {"normalization_rule_name", "identity"},
      {"remove_extra_whitespaces", "false"},
      {"add_dummy_prefix", "false"},
      {"user_defined_symbols", "\n,\t"},
      {"unk_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"pad_id", "-1"},
      {"num_threads", "1"},  // the sums of unigram's training depend on their number
      {"minloglevel", options.verbose ? "0" : "2"}};
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &sample, &model);
  if (!status.ok()) fail_training(options, status.error_message());
  return model;
}

}  // namespace rotor::text
