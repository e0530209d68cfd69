// What can go wrong with a folder of tokens: bad settings and texts, full disks, interrupts, kills, damage.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <set>

#include "rotor/tool/interrupt.h"
#include "tests/support/random.h"
#include "tests/train/text_corpus.h"
#include "train/data/token_cache.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;
using test::all_tokens;
using test::byte_tokens;
using test::ByteTokenizer;
using test::expect_error;
using test::small_text_config;
using test::TempDir;
using test::write_bytes;

TokenCache open_unmarked(const TextDataConfig& config, const ByteTokenizer& tokenizer = ByteTokenizer(),
                         size_t piece_bytes = kDefaultPieceBytes) {
  return open_token_cache(config, {&tokenizer, "hash", {}, {}}, 2, piece_bytes);
}

/// What lies in the folder of tokens, but for the lock.
std::set<std::string> files_in(const std::string& path) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(path)) names.insert(entry.path().filename());
  names.erase(".lock");
  return names;
}

void flip_bit(const std::string& path, size_t byte, int bit = 0) {
  std::string bytes = test::read_bytes(path);
  bytes.at(byte) = static_cast<char>(bytes[byte] ^ (1 << bit));
  write_bytes(path, bytes);
}

constexpr int kFolderIsEmpty = 3;

/// For a process of its own, since limits and interrupts stay: prints the error of `body`, and exits by what
/// it left in the folder.
template <class Expected, class Body>
void exit_with_error(Body body, const TextDataConfig& config) {
  try {
    body();
  } catch (const Expected& e) {
    std::fprintf(stderr, "%s\n", e.what());
    _exit(files_in(config.cache_dir).empty() ? kFolderIsEmpty : 4);
  }
  _exit(0);
}

TEST(TokenCacheFaults, BadSettingsAreNamed) {
  const TempDir dir;
  write_bytes(dir.file("f"), "some text to tokenize");
  const auto expect_bad = [&](const std::vector<std::string>& parts, auto change) {
    TextDataConfig config = small_text_config(dir, "f");
    change(config);
    expect_error([&] { open_unmarked(config); }, parts);
  };
  expect_bad({"data.type", "csv"}, [](auto& c) { c.type = "csv"; });
  expect_bad({"data.path"}, [](auto& c) { c.path = ""; });
  expect_bad({"data.cache_dir"}, [](auto& c) { c.cache_dir = ""; });
  expect_bad({"data.window", "none"}, [](auto& c) { c.window = "none"; });
  expect_bad({"data.block_size", "found 0"}, [](auto& c) { c.block_size = 0; });
  expect_bad({"data.shard_tokens", "found -1"}, [](auto& c) { c.shard_tokens = -1; });
  for (const double fraction : {-0.1, 1.0, std::nan("")}) {
    expect_bad({"data.validation_fraction"}, [&](auto& c) { c.validation_fraction = fraction; });
  }
  expect_bad({"data.text_field"}, [](auto& c) {
    c.type = "jsonl";
    c.text_field = "";
  });
  expect_bad({dir.file("none"), "No such file"}, [&](auto& c) { c.validation_path = dir.file("none"); });
  expect_bad({dir.file("f/tokens"), "cannot create"}, [&](auto& c) { c.cache_dir = dir.file("f/tokens"); });
  const ByteTokenizer tokenizer;
  expect_error(
      [&] {
        open_token_cache(small_text_config(dir, "f"), {&tokenizer, "hash", {}, 258}, 1);
      },
      {"eos", "0 to 257", "found 258"});
}

TEST(TokenCacheFaults, TooLittleTextIsSaid) {
  const TempDir dir;
  write_bytes(dir.file("f"), "0123456789");
  TextDataConfig config = small_text_config(dir, "f");
  expect_error([&] { open_unmarked(config); },
               {dir.file("f"), "validation split holds 1 token", "block_size = 4"});
  config.validation_fraction = 0;
  config.block_size = 10;
  expect_error([&] { open_unmarked(config); }, {dir.file("f"), "train split holds 10 tokens", "one more"});
  config.block_size = 9;
  EXPECT_EQ(open_unmarked(config).train.info().tokens, 10);
  write_bytes(dir.file("blank.jsonl"), "\n \n\n");
  config = small_text_config(dir, "blank.jsonl", "jsonl");
  expect_error([&] { open_unmarked(config); }, {"train split holds 0 tokens"});
}

TEST(TokenCacheFaults, TheFirstBadPlaceIsReportedAndNothingIsLeft) {
  const TempDir dir;
  std::string lines;
  for (int i = 1; i <= 400; ++i) {
    lines += i == 100 || i == 101 || i == 350 ? "{\"text\": 1}\n" : "{\"text\": \"a document\"}\n";
  }
  fs::create_directory(dir.file("c"));
  write_bytes(dir.file("c/a.jsonl"), lines);
  fs::create_symlink("a.jsonl", dir.file("c/b.jsonl"));
  TextDataConfig config = small_text_config(dir, "c", "jsonl");
  config.shard_tokens = 100;  // some are complete by then
  for (const int64_t threads : {1, 2, 8}) {
    const ByteTokenizer tokenizer;
    expect_error(
        [&] {
          open_token_cache(config, {&tokenizer, "hash", {}, {}}, threads, 64);
        },
        {"a.jsonl:100: ", "expected a string"});
    EXPECT_TRUE(files_in(config.cache_dir).empty());
  }
}

TEST(TokenCacheFaults, ABadPieceIsReportedBeforeAFileThatCannotBeRead) {
  const TempDir dir;
  fs::create_directory(dir.file("c"));
  write_bytes(dir.file("c/a.txt"), "some words \xFF and some more words");
  write_bytes(dir.file("c/b.txt"), "text");
  ByteTokenizer tokenizer;
  // The first call looks for a cut in a.txt, before any of it is tokenized.
  tokenizer.before_encode = [&](int64_t) { fs::remove(dir.file("c/b.txt")); };
  expect_error(
      [&] {
        open_token_cache(small_text_config(dir, "c"), {&tokenizer, "hash", {}, {}}, 8, 16);
      },
      {"a.txt: byte 11 ", "UTF-8"});
}

TEST(TokenCacheFaults, AFullDiskIsAnErrorAndFreesWhatItTook) {
  const TempDir dir;
  write_bytes(dir.file("f"), test::many_words(200'000));
  const TextDataConfig config = small_text_config(dir, "f");
  const auto fill_the_disk = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    rlimit limit = {};
    limit.rlim_cur = limit.rlim_max = 100'000;
    setrlimit(RLIMIT_FSIZE, &limit);
    open_unmarked(config);
  };
  EXPECT_EXIT(exit_with_error<Error>(fill_the_disk, config), ::testing::ExitedWithCode(kFolderIsEmpty),
              "train-00000.bin: cannot write .* bytes");
  EXPECT_TRUE(open_unmarked(config).tokenized_now);
}

TEST(TokenCacheFaults, AnInterruptLeavesNothing) {
  const TempDir dir;
  write_bytes(dir.file("f"), test::many_words(20'000));
  const TextDataConfig config = small_text_config(dir, "f");
  const auto interrupt = [&] {
    tool::catch_interrupts();
    ByteTokenizer tokenizer;
    tokenizer.before_encode = [](int64_t call) {
      if (call == 60) std::raise(SIGINT);
    };
    open_unmarked(config, tokenizer, 1000);
  };
  EXPECT_EXIT(exit_with_error<TokenizingInterrupted>(interrupt, config),
              ::testing::ExitedWithCode(kFolderIsEmpty), "interrupted while tokenizing");
}

TEST(TokenCacheFaults, AKillLeavesNothingThatIsTakenForWhole) {
  const TempDir dir;
  const std::string text = test::many_words(20'000);
  write_bytes(dir.file("f"), text);
  TextDataConfig config = small_text_config(dir, "f");
  config.validation_fraction = 0;
  config.shard_tokens = 20'000;
  open_unmarked(config);  // older tokens, that are to be replaced
  config.shard_tokens = 10'000;
  const auto kill = [&] {
    ByteTokenizer tokenizer;
    tokenizer.before_encode = [](int64_t call) {
      if (call == 400) std::raise(SIGKILL);
    };
    open_unmarked(config, tokenizer, 1000);
  };
  EXPECT_EXIT(kill(), ::testing::KilledBySignal(SIGKILL), "");
  const auto left = files_in(config.cache_dir);
  EXPECT_FALSE(left.contains("manifest.json"));
  EXPECT_GE(left.size(), 3U);  // shards, and files under temporary names
  const TokenCache cache = open_unmarked(config);
  EXPECT_TRUE(cache.tokenized_now);
  EXPECT_EQ(all_tokens(cache.train), byte_tokens(text));
  for (const std::string& name : files_in(config.cache_dir)) EXPECT_EQ(name.find("tmp"), std::string::npos);
}

/// A corpus of a few documents and its tokens.
class DamagedTokens : public ::testing::Test {
 protected:
  DamagedTokens() : config_(small_text_config(dir_, "f", "jsonl")) {
    std::string lines;
    for (int i = 0; i < 40; ++i) lines += cat("{\"text\": \"this is document ", i, "\"}\n");
    write_bytes(dir_.file("f"), lines);
    config_.shard_tokens = 200;
    expected_ = all_tokens(open_unmarked(config_).train);
  }
  std::string tokens(const std::string& name) const { return dir_.file("tokens/" + name); }
  void expect_rebuilt(const std::string& what) {
    const TokenCache cache = open_unmarked(config_);
    EXPECT_TRUE(cache.tokenized_now) << what;
    EXPECT_EQ(all_tokens(cache.train), expected_);
    cache.train.verify();
    EXPECT_FALSE(open_unmarked(config_).tokenized_now) << what;
  }

  TempDir dir_;
  TextDataConfig config_;
  std::vector<int64_t> expected_;
};

TEST_F(DamagedTokens, AnyDamageToTheManifestIsFound) {
  const std::string good = test::read_bytes(tokens("manifest.json"));
  test::Random random;
  for (int round = 0; round < 25; ++round) {
    std::string bad = good;
    const auto place = static_cast<size_t>(random.integer(0, static_cast<int64_t>(good.size()) - 2));
    bad[place] = static_cast<char>(bad[place] ^ (1 << random.integer(0, 6)));
    write_bytes(tokens("manifest.json"), bad);
    const TokenCache cache = open_unmarked(config_);
    // White space may become other white space: then nothing is lost.
    EXPECT_TRUE(cache.tokenized_now || std::isspace(bad[place])) << "byte " << place << " of\n" << bad;
    EXPECT_EQ(all_tokens(cache.train), expected_);
  }
  for (size_t size = 0; size < good.size(); size += 250) {
    write_bytes(tokens("manifest.json"), good.substr(0, size));
    expect_rebuilt(cat("manifest of ", size, " bytes"));
  }
  for (const char* other : {"[]", "null", "{\"checksum\": 1}", "\xFF"}) {
    write_bytes(tokens("manifest.json"), other);
    expect_rebuilt(other);
  }
}

TEST_F(DamagedTokens, MissingAndTruncatedFilesAreMadeAnew) {
  for (const char* name : {"train-00000.bin", "train-00003.bin", "train.documents", "validation-00000.bin"}) {
    fs::resize_file(tokens(name), fs::file_size(tokens(name)) - 1);
    expect_rebuilt(cat("truncated ", name));
    fs::remove(tokens(name));
    expect_rebuilt(cat("missing ", name));
    write_bytes(tokens(name), test::read_bytes(tokens(name)) + "x");
    expect_rebuilt(cat("longer ", name));
  }
}

TEST_F(DamagedTokens, AFlippedBitIsFoundByVerify) {
  const std::string shard = tokens("train-00002.bin");
  flip_bit(shard, 51 * 2);  // another id of the vocabulary
  const TokenCache cache = open_unmarked(config_);
  EXPECT_FALSE(cache.tokenized_now);  // no look at the tokens at the start
  expect_error([&] { cache.train.verify(); }, {shard, "damaged", "checksum"});
  flip_bit(shard, 51 * 2);
  cache.train.verify();
  flip_bit(shard, 51 * 2 + 1, 7);  // an id out of the vocabulary
  expect_error([&] { all_tokens(cache.train); }, {shard, "damaged", "below 258"});
  std::vector<int64_t> others(251);
  cache.train.read(0, others);
  flip_bit(shard, 51 * 2 + 1, 7);

  const std::string documents = tokens("train.documents");
  flip_bit(documents, 8 * 5 + 6);
  expect_error([&] { cache.train.verify(); }, {documents, "checksum"});
  // Whatever the index holds, places are in range and in order.
  test::Random random;
  const std::string good = test::read_bytes(documents);
  for (int round = 0; round < 200; ++round) {
    flip_bit(documents, static_cast<size_t>(random.integer(0, static_cast<int64_t>(good.size()) - 1)),
             static_cast<int>(random.integer(0, 7)));
    try {
      int64_t last = 49;
      for (const int64_t start : cache.train.document_starts(50, 300)) {
        EXPECT_GT(start, last);
        EXPECT_LT(start, 300);
        last = start;
      }
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("not in order"), std::string::npos);
    }
  }
}

TEST_F(DamagedTokens, TruncationWhileTheyAreUsedIsAnErrorNotACrash) {
  const TokenCache cache = open_unmarked(config_);
  ASSERT_EQ(truncate(tokens("train-00001.bin").c_str(), 20), 0);
  expect_error([&] { all_tokens(cache.train); }, {"train-00001.bin", "truncated while it was in use"});
  ASSERT_EQ(truncate(tokens("train.documents").c_str(), 0), 0);
  expect_error([&] { cache.train.document_starts(0, 10); }, {"train.documents"});
}

}  // namespace
}  // namespace rotor::train
