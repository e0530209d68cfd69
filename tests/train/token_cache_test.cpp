// From a corpus to shards and back: splits, documents, threads, reuse.
#include "train/data/token_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "rotor/formats/json.h"
#include "tests/support/golden.h"
#include "tests/train/text_corpus.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;
using test::all_tokens;
using test::byte_tokens;
using test::ByteTokenizer;
using test::kBos;
using test::kEos;
using test::small_text_config;
using test::TempDir;
using test::write_bytes;

TokenCache open_marked(const TextDataConfig& config, const ByteTokenizer& tokenizer, int64_t threads = 2,
                       size_t piece_bytes = kDefaultPieceBytes) {
  return open_token_cache(config, {&tokenizer, "hash", kBos, kEos}, threads, piece_bytes);
}

/// Tokens of a document with its marks.
std::vector<int64_t> marked(std::string_view text) {
  std::vector<int64_t> tokens = byte_tokens(text);
  tokens.insert(tokens.begin(), kBos);
  tokens.push_back(kEos);
  return tokens;
}

/// Name and contents of what lies in a folder, but for the lock.
std::map<std::string, std::string> folder_contents(const std::string& path) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(path)) {
    const std::string name = entry.path().filename();
    if (name != ".lock") files[name] = test::read_bytes(entry.path());
  }
  return files;
}

TEST(TokenCache, OneTextIsSplitAtAByte) {
  const TempDir dir;
  std::string text = test::many_words(300);
  std::erase_if(text, [](char c) { return static_cast<uint8_t>(c) >= 0x80; });
  write_bytes(dir.file("f"), text);
  const auto n = static_cast<double>(text.size());
  for (const double fraction : {0.1, 0.25, 0.01, 0.5}) {
    TextDataConfig config = small_text_config(dir, "f");
    config.validation_fraction = fraction;
    const TokenCache cache = open_marked(config, ByteTokenizer());
    const auto split = static_cast<size_t>((1 - fraction) * n);
    EXPECT_EQ(all_tokens(cache.train), byte_tokens(text.substr(0, split))) << fraction;
    EXPECT_EQ(all_tokens(cache.validation), byte_tokens(text.substr(split)));
    EXPECT_EQ(cache.train.info().text_bytes, static_cast<int64_t>(split));
    EXPECT_EQ(cache.train.info().documents, 1);
    EXPECT_EQ(cache.train.document_starts(0, 1 << 20), std::vector<int64_t>{0});
    EXPECT_TRUE(cache.tokenized_now);
    cache.train.verify();
    cache.validation.verify();
  }
  TextDataConfig config = small_text_config(dir, "f");
  config.validation_fraction = 0;
  const TokenCache cache = open_marked(config, ByteTokenizer());
  EXPECT_EQ(all_tokens(cache.train), byte_tokens(text));
  EXPECT_EQ(cache.validation.info().tokens, 0);
  cache.validation.verify();
}

TEST(TokenCache, TheSplitFallsBetweenCharacters) {
  const TempDir dir;
  for (size_t shift = 0; shift < 8; ++shift) {
    std::string text(shift, 'x');
    for (int i = 0; i < 30; ++i) text += "\xF0\x9F\x98\x80";
    write_bytes(dir.file("f"), text);
    const TokenCache cache = open_marked(small_text_config(dir, "f"), ByteTokenizer());
    const auto exact = static_cast<int64_t>(0.9 * static_cast<double>(text.size()));
    const int64_t tokens = cache.train.info().tokens;
    EXPECT_TRUE(tokens <= exact && exact - tokens < 4) << tokens << " for " << exact;
    EXPECT_EQ((tokens - static_cast<int64_t>(shift)) % 4, 0);
    EXPECT_EQ(tokens + cache.validation.info().tokens, static_cast<int64_t>(text.size()));
  }
}

TEST(TokenCache, TheOnlyLineIsSplitAsATextIs) {
  const TempDir dir;
  write_bytes(dir.file("f"), "\n{\"body\": \"0123456789\\u006112345678" + std::string(80, 'z') + "\"}\n\n");
  TextDataConfig config = small_text_config(dir, "f", "jsonl");
  config.text_field = "body";
  const TokenCache cache = open_marked(config, ByteTokenizer());
  EXPECT_EQ(all_tokens(cache.train), byte_tokens("0123456789a12345678" + std::string(70, 'z')));
  EXPECT_EQ(all_tokens(cache.validation), byte_tokens(std::string(10, 'z')));
}

TEST(TokenCache, DocumentsAreMarkedAndGoToOneSideEach) {
  const TempDir dir;
  std::string lines;
  std::vector<int64_t> train;
  std::vector<int64_t> validation;
  std::vector<int64_t> starts;
  for (int i = 0; i < 57; ++i) {
    const std::string text = cat("document ", i);
    lines += cat("{\"text\": \"", text, "\"}\n{\"text\": \"\"}\n");  // one without text leaves no trace
    auto& side = is_validation_document(i, 0.1) ? validation : train;
    if (&side == &train) starts.push_back(static_cast<int64_t>(train.size()));
    const auto tokens = marked(text);
    side.insert(side.end(), tokens.begin(), tokens.end());
  }
  write_bytes(dir.file("f"), lines);
  const TokenCache cache = open_marked(small_text_config(dir, "f", "jsonl"), ByteTokenizer());
  EXPECT_EQ(all_tokens(cache.train), train);
  EXPECT_EQ(all_tokens(cache.validation), validation);
  EXPECT_EQ(cache.train.document_starts(0, cache.train.info().tokens), starts);
  EXPECT_EQ(cache.train.document_starts(starts[3], starts[5]), (std::vector{starts[3], starts[4]}));
  EXPECT_TRUE(cache.train.document_starts(starts[3] + 1, starts[4]).empty());
  EXPECT_EQ(cache.train.info().documents + cache.validation.info().documents, 57);
}

TEST(TokenCache, TokenizersMayLackMarks) {
  const TempDir dir;
  fs::create_directory(dir.file("c"));
  for (const char* name : {"1.txt", "2.txt", "3.md"})
    write_bytes(dir.file("c/") + name, std::string("text ") + name);
  const ByteTokenizer tokenizer;
  TextDataConfig config = small_text_config(dir, "c");
  config.validation_fraction = 0;
  const auto open_with = [&](std::optional<text::TokenId> bos, std::optional<text::TokenId> eos) {
    return all_tokens(open_token_cache(config, {&tokenizer, "hash", bos, eos}, 1).train);
  };
  EXPECT_EQ(open_with({}, {}), byte_tokens("text 1.txttext 2.txttext 3.md"));
  EXPECT_EQ(open_with({}, 10), byte_tokens("text 1.txt\ntext 2.txt\ntext 3.md\n"));
  EXPECT_EQ(open_with(9, {}), byte_tokens("\ttext 1.txt\ttext 2.txt\ttext 3.md"));
}

TEST(TokenCache, ACorpusOfItsOwnForValidation) {
  const TempDir dir;
  write_bytes(dir.file("train"), "all of this is for training");
  write_bytes(dir.file("val"), "and this is not");
  TextDataConfig config = small_text_config(dir, "train");
  config.validation_path = dir.file("val");
  const TokenCache cache = open_marked(config, ByteTokenizer());
  EXPECT_EQ(all_tokens(cache.train), byte_tokens("all of this is for training"));
  EXPECT_EQ(all_tokens(cache.validation), byte_tokens("and this is not"));
  // If one of the two has several documents, both have marks.
  fs::create_directory(dir.file("several"));
  write_bytes(dir.file("several/1.txt"), "one");
  write_bytes(dir.file("several/2.txt"), "two");
  config.validation_path = dir.file("several");
  const TokenCache marks = open_marked(config, ByteTokenizer());
  EXPECT_EQ(all_tokens(marks.train), marked("all of this is for training"));
  EXPECT_EQ(marks.validation.document_starts(0, 100), (std::vector<int64_t>{0, 5}));
}

TEST(TokenCache, ThreadsDoNotChangeTheResult) {
  const TempDir dir;
  fs::create_directory(dir.file("c"));
  for (uint32_t i = 0; i < 12; ++i) {
    write_bytes(dir.file(cat("c/", i, ".txt")), test::many_words(static_cast<int>(i * i * 10), i));
  }
  TextDataConfig config = small_text_config(dir, "c");
  config.shard_tokens = 1000;
  const ByteTokenizer tokenizer(" ");
  std::vector<std::map<std::string, std::string>> results;
  for (const int64_t threads : {1, 2, 7}) {
    config.cache_dir = dir.file(cat("tokens", threads));
    const TokenCache cache = open_marked(config, tokenizer, threads, 100);
    results.push_back(folder_contents(config.cache_dir));
    EXPECT_GT(cache.train.info().shards.size(), 10U);
    EXPECT_EQ(all_tokens(cache.train).size(), static_cast<size_t>(cache.train.info().tokens));
  }
  EXPECT_GT(results[0].size(), 10U);
  EXPECT_TRUE(results[0] == results[1]);
  EXPECT_TRUE(results[0] == results[2]);
  // Pieces are no part of the result either, for a tokenizer that can be cut.
  config.cache_dir = dir.file("whole");
  open_marked(config, tokenizer);
  auto whole = folder_contents(config.cache_dir);
  whole.erase("manifest.json");
  results[0].erase("manifest.json");
  EXPECT_TRUE(results[0] == whole);
}

TEST(TokenCache, ShardsJoinWithoutASeam) {
  const TempDir dir;
  const std::string text = test::many_words(8);
  write_bytes(dir.file("f"), text);
  TextDataConfig config = small_text_config(dir, "f");
  config.validation_fraction = 0;
  const auto size = static_cast<int64_t>(text.size());
  for (const int64_t shard_tokens : {int64_t{1}, int64_t{7}, size - 1, size, size + 1}) {
    config.shard_tokens = shard_tokens;
    const TokenCache cache = open_marked(config, ByteTokenizer());
    EXPECT_EQ(static_cast<int64_t>(cache.train.info().shards.size()),
              (size + shard_tokens - 1) / shard_tokens);
    EXPECT_EQ(all_tokens(cache.train), byte_tokens(text)) << shard_tokens;
    std::vector<int64_t> some(9);
    cache.train.read(size - 9, some);
    EXPECT_EQ(some, byte_tokens(text.substr(text.size() - 9)));
    test::expect_error([&] { cache.train.read(size - 8, some); }, {"do not exist", cat("holds ", size)});
    test::expect_error([&] { cache.train.read(-1, some); }, {"do not exist"});
  }
}

TEST(TokenCache, IdsTakeTwoBytesAsLongAsTheyFit) {
  const TempDir dir;
  write_bytes(dir.file("f"), "0123456789");
  TextDataConfig config = small_text_config(dir, "f");
  config.validation_fraction = 0;
  for (const auto& [vocab_size, width] : {std::pair{65536, 2}, {65537, 4}, {1 << 20, 4}}) {
    ByteTokenizer tokenizer("", vocab_size);
    tokenizer.shift = vocab_size - 1 - '9';  // "9" is the last id
    const TokenCache cache = open_token_cache(config, {&tokenizer, "hash", {}, {}}, 1);
    EXPECT_EQ(fs::file_size(dir.file("tokens/train-00000.bin")), static_cast<size_t>(10 * width));
    std::vector<int64_t> expected(10);
    std::iota(expected.begin(), expected.end(), vocab_size - 10);
    EXPECT_EQ(all_tokens(cache.train), expected);
    tokenizer.shift += 1;
    fs::remove(dir.file("tokens/manifest.json"));
    test::expect_error(
        [&] {
          open_token_cache(config, {&tokenizer, "hash", {}, {}}, 1);
        },
        {cat("0 to ", vocab_size - 1), cat("found ", vocab_size)});
  }
}

TEST(TokenCache, TheSameCorpusIsTokenizedOnce) {
  const TempDir dir;
  fs::create_directory(dir.file("c"));
  for (const char* name : {"1.txt", "2.txt", "3.txt"})
    write_bytes(dir.file("c/") + name, test::many_words(20));
  const ByteTokenizer tokenizer;
  TextDataConfig config = small_text_config(dir, "c");
  const TokenCache first = open_marked(config, tokenizer);
  const std::string sum = first.train.data_checksum();
  // What is no property of the tokens may change.
  config.block_size = 8;
  config.window = "sequential";
  const int64_t calls = tokenizer.calls;
  const auto expect_reused = [&](bool reused, const char* what) {
    const TokenCache cache = open_marked(config, tokenizer);
    EXPECT_EQ(cache.tokenized_now, !reused) << what;
    EXPECT_EQ(all_tokens(cache.train).size(), static_cast<size_t>(cache.train.info().tokens));
    return cache.train.data_checksum();
  };
  EXPECT_EQ(expect_reused(true, "the same"), sum);
  EXPECT_EQ(tokenizer.calls, calls);

  const auto later = [&](const std::string& path) {
    fs::last_write_time(path, fs::last_write_time(path) + std::chrono::seconds(1));
  };
  later(dir.file("c/2.txt"));
  EXPECT_EQ(expect_reused(false, "a touched file"), sum);  // the same tokens all the same
  write_bytes(dir.file("c/2.txt"), test::many_words(21));
  EXPECT_NE(expect_reused(false, "another size"), sum);
  EXPECT_EQ(open_token_cache(config, {&tokenizer, "other", kBos, kEos}, 1).tokenized_now, true);
  expect_reused(false, "another tokenizer");
  EXPECT_EQ(open_token_cache(config, {&tokenizer, "hash", kBos, {}}, 1).tokenized_now, true);
  expect_reused(false, "other marks");
  fs::rename(dir.file("c/3.txt"), dir.file("c/4.txt"));
  expect_reused(false, "another name");
  write_bytes(dir.file("c/5.md"), "more");
  expect_reused(false, "another file");
  config.validation_fraction = 0.4;
  expect_reused(false, "another split");
  config.shard_tokens = 50;
  expect_reused(false, "other shards");
  config.shard_tokens = 1 << 20;
  expect_reused(false, "other shards again");
  EXPECT_FALSE(fs::exists(dir.file("tokens/train-00001.bin"))) << "left from shards of 50 tokens";
  config.text_field = "of no meaning here";
  expect_reused(true, "a field of jsonl");
}

TEST(TokenCache, TwoAtOnceDoNotDisturbEachOther) {
  const TempDir dir;
  write_bytes(dir.file("f"), test::many_words(20'000));
  const TextDataConfig config = small_text_config(dir, "f");
  std::vector<std::thread> threads;
  std::atomic<int> tokenized = 0;
  std::atomic<int64_t> tokens = 0;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      const TokenCache cache = open_marked(config, ByteTokenizer(), 2, 1000);
      tokenized += cache.tokenized_now ? 1 : 0;
      tokens += cache.train.info().tokens + cache.validation.info().tokens;
      cache.train.verify();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tokenized, 1);
  EXPECT_EQ(tokens, static_cast<int64_t>(3 * fs::file_size(dir.file("f"))));
}

TEST(IsValidationDocument, OneInEachRunAndTheFirst) {
  for (const double fraction : {0.001, 0.1, 0.15, 1.0 / 3, 0.5}) {
    EXPECT_TRUE(is_validation_document(0, fraction));
    EXPECT_FALSE(is_validation_document(1, fraction));
    int count = 0;
    std::set<int64_t> places;  // within runs of ten
    for (int64_t i = 0; i < 10'000; ++i) {
      if (!is_validation_document(i, fraction)) continue;
      ++count;
      if (fraction == 0.1) places.insert(i % 10);
    }
    EXPECT_NEAR(count, 10'000 * fraction, 1);
    EXPECT_EQ(places.size(), fraction == 0.1 ? 10U : 0U);
  }
  EXPECT_FALSE(is_validation_document(0, 0));
}

TEST(TokenCacheSharedData, TinyShakespeareIsSplitAsNanoGptDoes) {
  const std::string path = test::shared_path("data/tinyshakespeare/input.txt");
  if (path.empty()) GTEST_SKIP() << "no shared data here: no tinyshakespeare";
  const TempDir dir;
  TextDataConfig config = small_text_config(dir, "f");
  config.path = path;
  const TokenCache cache = open_marked(config, ByteTokenizer());
  // nanoGPT, data/shakespeare_char/readme.md: 1,003,854 tokens for training, 111,540 for validation.
  EXPECT_EQ(cache.train.info().tokens, 1'003'854);
  EXPECT_EQ(cache.validation.info().tokens, 111'540);
}

TEST(TokenCacheSharedData, Llama3TokensAreThoseOfTheWholeText) {
  const std::string path = test::shared_path("data/prose/classic-prose.txt");
  const std::string model = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  if (path.empty() || model.empty()) GTEST_SKIP() << "no shared data here: no Llama 3 tokenizer, no prose";
  const TempDir dir;
  TextDataConfig config = small_text_config(dir, "f");
  config.path = path;
  config.validation_fraction = 0;
  const auto tokenizer = text::load_tokenizer(model);
  const TokenCache cache = open_token_cache(config, {tokenizer.get(), "llama3", {}, {}}, 2, 200'000);
  const auto whole = tokenizer->encode(test::read_bytes(path), text::SpecialTokens::as_text);
  EXPECT_TRUE(all_tokens(cache.train) == std::vector<int64_t>(whole.begin(), whole.end()));
}

}  // namespace
}  // namespace rotor::train
