// The pipeline: this thread reads pieces and writes tokens, the pool's threads tokenize.
#include "train/data/token_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <filesystem>
#include <future>
#include <thread>
#include <utility>

#include "rotor/core/mix_seed.h"
#include "rotor/tool/interrupt.h"
#include "rotor/tool/main.h"
#include "rotor/tool/progress.h"
#include "train/data/text_cut.h"
#include "train/data/text_source.h"
#include "train/data/worker_pool.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

void stop_if_interrupted() {
  if (tool::interrupted()) {
    throw TokenizingInterrupted("interrupted while tokenizing; the next start tokenizes from the beginning");
  }
}

void check(const TextDataConfig& config, const CorpusTokenizer& tokenizer, size_t piece_bytes) {
  if (config.path.empty()) fail("data.path: expected a file or a directory, found nothing");
  if (config.cache_dir.empty()) fail("data.cache_dir: expected a directory, found nothing");
  if (config.type == "jsonl" && config.text_field.empty()) {
    fail("data.text_field: expected a name, found nothing");
  }
  if (!(config.validation_fraction >= 0.0 && config.validation_fraction < 1.0)) {
    fail("data.validation_fraction: expected at least 0 and less than 1, found ", config.validation_fraction);
  }
  if (config.window != "random" && config.window != "sequential") {
    fail("data.window: expected random or sequential, found \"", config.window, "\"");
  }
  for (const auto& [name, value] :
       {std::pair{"block_size", config.block_size}, {"shard_tokens", config.shard_tokens}}) {
    if (value < 1) fail("data.", name, ": expected at least 1, found ", value);
  }
  if (piece_bytes < kMinPieceBytes) fail("piece_bytes: expected at least ", kMinPieceBytes);
  for (const auto& [name, id] : {std::pair{"bos", tokenizer.bos}, {"eos", tokenizer.eos}}) {
    const int64_t size = tokenizer.tokenizer->vocab_size();
    if (id && (*id < 0 || *id >= size)) {
      fail("the tokenizer's ", name, " token: expected 0 to ", size - 1, ", found ", *id);
    }
  }
}

/// Held while tokens are looked for, made and opened.
class DirectoryLock {
 public:
  explicit DirectoryLock(const std::string& directory) {
    const std::string path = directory + "/.lock";
    file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file_ < 0) fail(path, ": cannot create: ", std::strerror(errno));
    bool said = false;
    while (flock(file_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      if (error != EWOULDBLOCK && error != EINTR) {
        close(file_);
        fail(path, ": cannot lock: ", std::strerror(error));
      }
      if (!said) std::fprintf(stderr, "%s: waiting for another process to tokenize\n", directory.c_str());
      said = true;
      if (tool::interrupted()) {
        close(file_);
        stop_if_interrupted();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  ~DirectoryLock() { close(file_); }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int file_;
};

/// Where the documents of a source go.
enum class Destination { train, validation, both };

/// Makes the tokens of a corpus.
class CorpusBuilder {
 public:
  CorpusBuilder(const TextDataConfig& config, const CorpusTokenizer& tokenizer, int64_t threads,
                size_t piece_bytes)
      : config_(config), tokenizer_(tokenizer), pool_(threads), piece_bytes_(piece_bytes) {}

  TokenManifest build(const std::vector<TextFile>& files, const std::vector<TextFile>& validation_files) {
    const bool split = validation_files.empty();
    TextSource source = make_source(files, split ? config_.validation_fraction : 0.0);
    TextSource validation_source = make_source(validation_files, 0.0);
    const bool one = source.is_one_document() && (split || validation_source.is_one_document());
    const auto bos = one ? std::nullopt : tokenizer_.bos;
    const auto eos = one ? std::nullopt : tokenizer_.eos;
    const ShardFormat format{tokenizer_.tokenizer->vocab_size(), config_.shard_tokens};
    SplitWriter train(config_.cache_dir, "train", format, bos, eos);
    SplitWriter validation(config_.cache_dir, "validation", format, bos, eos);
    train_ = &train;
    validation_ = &validation;

    total_bytes_ = total_bytes(files) + total_bytes(validation_files);
    tool::Progress progress("tokenizing", total_bytes_);
    tokenize(source, split ? Destination::both : Destination::train, progress);
    tokenize(validation_source, Destination::validation, progress);
    const TokenManifest manifest{train.finish(), validation.finish()};
    const double seconds = progress.elapsed_seconds();
    progress.finish(cat(tool::bytes_text(static_cast<double>(total_bytes_)), ": ",
                        tool::count_text(manifest.train.tokens, "token"), " for training, ",
                        manifest.validation.tokens, " for validation, ", tool::duration_text(seconds), " (",
                        speed_text(total_bytes_, seconds), ")"));
    return manifest;
  }

 private:
  struct Result {
    std::vector<DocumentPart> parts;
    int64_t source_bytes;
  };
  /// Pieces that are being encoded use their source: whatever ends the work waits for them first.
  struct InFlight : std::deque<std::future<Result>> {
    ~InFlight() {
      for (const std::future<Result>& result : *this) {
        if (result.valid()) result.wait();
      }
    }
  };

  TextSource make_source(const std::vector<TextFile>& files, double validation_fraction) const {
    return {files,
            {text_format(config_.type), config_.text_field, piece_bytes_, validation_fraction},
            *tokenizer_.tokenizer};
  }

  static std::string speed_text(int64_t bytes, double seconds) {
    return tool::bytes_text(static_cast<double>(bytes) / std::max(seconds, 1e-3)) + "/s";
  }

  void tokenize(TextSource& source, Destination destination, tool::Progress& progress) {
    const bool by_index = destination == Destination::both && !source.is_one_document();
    int64_t documents = 0;
    InFlight in_flight;
    const auto take_one = [&] {
      stop_if_interrupted();
      const Result result = in_flight.front().get();
      in_flight.pop_front();
      for (const DocumentPart& part : result.parts) {
        if (part.begins_document) {
          const bool is_validation =
              destination == Destination::validation || part.is_validation ||
              (by_index && is_validation_document(documents++, config_.validation_fraction));
          writer_ = is_validation ? validation_ : train_;
          writer_->begin_document();
        }
        writer_->append(part.tokens, part.text_bytes);
        if (part.ends_document) writer_->end_document();
      }
      done_bytes_ += result.source_bytes;
      progress.update(done_bytes_,
                      cat(tool::bytes_text(static_cast<double>(done_bytes_)), " of ",
                          tool::bytes_text(static_cast<double>(total_bytes_)), ", ",
                          speed_text(done_bytes_, progress.elapsed_seconds()), ", ",
                          tool::duration_text(progress.remaining_seconds(done_bytes_)), " left"));
    };
    const auto take_all = [&] {
      while (!in_flight.empty()) take_one();
    };
    while (true) {
      std::optional<TextPiece> piece;
      try {
        piece = source.next();
      } catch (const Error&) {
        take_all();  // an error further to the front comes first, however many threads there are
        throw;
      }
      if (!piece) break;
      in_flight.push_back(pool_.submit([&source, piece = std::move(*piece)] {
        return Result{source.encode(piece), static_cast<int64_t>(piece.end - piece.begin)};
      }));
      if (std::cmp_greater(in_flight.size(), 2 * pool_.size())) take_one();
    }
    take_all();
  }

  const TextDataConfig& config_;
  const CorpusTokenizer& tokenizer_;
  WorkerPool pool_;
  size_t piece_bytes_;
  SplitWriter* train_ = nullptr;
  SplitWriter* validation_ = nullptr;
  SplitWriter* writer_ = nullptr;  // of the document that is being written
  int64_t done_bytes_ = 0;
  int64_t total_bytes_ = 0;
};

void build_tokens(const TextDataConfig& config, const CorpusTokenizer& tokenizer, int64_t threads,
                  size_t piece_bytes, const std::vector<TextFile>& files,
                  const std::vector<TextFile>& validation_files, const Json& key) {
  remove_tokens(config.cache_dir);
  try {
    CorpusBuilder builder(config, tokenizer, threads, piece_bytes);
    write_manifest(config.cache_dir, key, builder.build(files, validation_files));
  } catch (...) {
    try {
      remove_tokens(config.cache_dir);  // a full disk is not to stay full
    } catch (const Error&) {            // the first error is the one to tell
    }
    throw;
  }
}

void check_window(const TokenSplit& split, const TextDataConfig& config) {
  if (split.info().tokens > config.block_size) return;
  const std::string& path =
      split.name() == "validation" && !config.validation_path.empty() ? config.validation_path : config.path;
  fail(path, ": the ", split.name(), " split holds ", tool::count_text(split.info().tokens, "token"),
       ": too short for a window of data.block_size = ", config.block_size,
       ", which takes one more; give more text",
       split.name() == "validation" && config.validation_path.empty() ? " or a larger validation_fraction"
                                                                      : "",
       ", or a smaller block_size");
}

}  // namespace

bool is_validation_document(int64_t index, double fraction) {
  if (fraction <= 0.0) return false;
  const auto first_of = [&](int64_t run) {
    return static_cast<int64_t>(std::ceil(static_cast<double>(run) / fraction));
  };
  auto run = static_cast<int64_t>(static_cast<double>(index) * fraction);
  while (first_of(run) > index) --run;  // rounding may have been against us
  while (first_of(run + 1) <= index) ++run;
  const int64_t first = first_of(run);
  const auto length = static_cast<uint64_t>(first_of(run + 1) - first);
  const uint64_t chosen = run == 0 ? 0 : mix_seed(0, static_cast<uint64_t>(run)) % length;
  return index - first == static_cast<int64_t>(chosen);
}

TokenCache open_token_cache(const TextDataConfig& config, const CorpusTokenizer& tokenizer, int64_t threads,
                            size_t piece_bytes) {
  check(config, tokenizer, piece_bytes);
  const TextFormat format = text_format(config.type);
  const std::vector<TextFile> files = list_text_files(config.path, format);
  std::vector<TextFile> validation_files;
  if (!config.validation_path.empty()) validation_files = list_text_files(config.validation_path, format);
  std::error_code error;
  fs::create_directories(config.cache_dir, error);
  if (error) fail(config.cache_dir, ": cannot create the directory: ", error.message());

  const DirectoryLock lock(config.cache_dir);
  const Json key = token_cache_key(config, tokenizer, piece_bytes, files, validation_files);
  const ShardFormat shard_format{tokenizer.tokenizer->vocab_size(), config.shard_tokens};
  const auto open_with = [&](const TokenManifest& manifest, bool tokenized_now) {
    return TokenCache{TokenSplit(config.cache_dir, "train", shard_format, manifest.train),
                      TokenSplit(config.cache_dir, "validation", shard_format, manifest.validation),
                      tokenized_now};
  };
  std::string reason;
  std::optional<TokenCache> cache;
  if (const auto manifest = read_manifest(config.cache_dir, key, config.shard_tokens, reason)) {
    try {
      cache = open_with(*manifest, false);
    } catch (const Error& e) {
      reason = e.what();
    }
  }
  if (!cache) {
    if (!reason.empty()) {
      std::fprintf(stderr, "%s: tokenizing again: %s\n", config.cache_dir.c_str(),
                   tool::printable(reason).c_str());
    }
    build_tokens(config, tokenizer, threads, piece_bytes, files, validation_files, key);
    const auto manifest = read_manifest(config.cache_dir, key, config.shard_tokens, reason);
    if (!manifest) fail(config.cache_dir, ": cannot read back the tokens: ", reason);
    cache = open_with(*manifest, true);
  }
  check_window(cache->train, config);
  const bool wants_validation = !config.validation_path.empty() || config.validation_fraction > 0.0;
  if (wants_validation) check_window(cache->validation, config);
  return std::move(*cache);
}

}  // namespace rotor::train
