// Tokenizers inside .rotor files: the same ids as outside, and no damage that crashes or goes unseen.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/tokenizer.h"
#include "tests/support/golden.h"
#include "tests/support/random.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::text {
namespace {

using test::expect_error;
using test::TempDir;

/// Writes the tokenizer into a model file, opens that, and runs `expect` on what it holds.
template <class Expect>
void expect_through_file(const Tokenizer& tokenizer, Expect expect) {
  const TempDir dir;
  test::write_model_with(dir.file("m.rotor"), tokenizer.attachments());
  const RotorFile file(dir.file("m.rotor"));
  EXPECT_EQ(file.verify(), std::vector<std::string>());
  const auto inside = tokenizer_of(file);
  ASSERT_NE(inside, nullptr);
  expect(*inside);
  expect(*load_tokenizer(dir.file("m.rotor")));
  // What it attaches again is the same file.
  test::write_model_with(dir.file("again.rotor"), inside->attachments());
  EXPECT_EQ(test::read_bytes(dir.file("again.rotor")), test::read_bytes(dir.file("m.rotor")));
}

TEST(RotorTokenizer, GoldenIdsOfLlama3) {
  const std::string path = test::shared_path("data/tokenizers/llama3-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 3's tokenizer is not on this machine";
  expect_through_file(*load_tokenizer(path), test::expect_llama3);
  const TempDir dir;
  expect_through_file(*load_tokenizer(test::llama3_tokenizer_json(dir.path())), test::expect_llama3);
}

TEST(RotorTokenizer, GoldenIdsOfLlama2) {
  const std::string path = test::shared_path("data/tokenizers/llama2-tokenizer.model");
  if (path.empty()) GTEST_SKIP() << "no shared data here: Llama 2's tokenizer is not on this machine";
  expect_through_file(*load_tokenizer(path), test::expect_llama2);
}

class RotorTokenizerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    test::write_model_with(path_, bpe_.attachments());
    good_ = test::read_bytes(path_);
  }

  /// A model file of these attachments, which may be damaged: checksums are right all the same.
  std::vector<std::string> faults_of(const RotorAttachments& attachments) const {
    test::write_model_with(path_, attachments);
    return RotorFile(path_).verify();
  }
  void expect_fault(const RotorAttachments& attachments, const std::string& part) const {
    const auto faults = faults_of(attachments);
    ASSERT_FALSE(faults.empty()) << part;
    EXPECT_NE(faults[0].find(part), std::string::npos) << faults[0];
    exercise();
  }
  void expect_refused(const RotorAttachments& attachments, const std::vector<std::string>& parts) const {
    expect_error([&] { test::write_model_with(dir_.file("refused.rotor"), attachments); }, parts);
    EXPECT_FALSE(std::filesystem::exists(dir_.file("refused.rotor")));
  }
  /// The same words, in the attached tensor of that name.
  static std::span<uint32_t> words(RotorAttachments& attachments, const std::string& name) {
    for (AttachedTensor& tensor : attachments.tensors) {
      if (tensor.name == name)
        return {reinterpret_cast<uint32_t*>(tensor.data.data()), tensor.data.size() / 4};
    }
    return {};
  }
  /// Uses the tokenizer in the file for everything; only an Error may come out.
  void exercise() const {
    const std::string text = "abcab aaaaaaa<|end|> xyz " + std::string(40, 'a') + "bcabc\xF0\x9F\x98\x80\xFF";
    try {
      const auto tokenizer = load_tokenizer(path_);
      static_cast<void>(tokenizer->bos());
      for (TokenId id = 0; id < 300; ++id) {
        try {
          static_cast<void>(tokenizer->token_bytes(id, true));
        } catch (const Error&) {
        }
      }
      for (const SpecialTokens special : {SpecialTokens::parse, SpecialTokens::as_text}) {
        const auto ids = tokenizer->encode(text, special);
        EXPECT_LE(ids.size(), text.size());
        for (const TokenId id : ids) EXPECT_LT(id, tokenizer->vocab_size());
        static_cast<void>(tokenizer->decode(ids));
      }
    } catch (const Error&) {
    }
  }

  TempDir dir_;
  std::string path_ = dir_.file("m.rotor");
  ByteLevelBpe bpe_{test::small_bpe()};
  std::string good_;
};

TEST_F(RotorTokenizerTest, GivesTheSameIds) {
  test::Random random;
  expect_through_file(bpe_, [&](const Tokenizer& inside) {
    EXPECT_EQ(inside.vocab_size(), bpe_.vocab_size());
    EXPECT_EQ(inside.bos(), std::nullopt);
    for (int round = 0; round < 300; ++round) {
      std::string text = round % 3 == 0 ? "<|end|>" : "";
      for (int64_t i = random.integer(0, 90); i > 0; --i) text.push_back("abc \xC3"[random.integer(0, 4)]);
      for (const SpecialTokens special : {SpecialTokens::parse, SpecialTokens::as_text}) {
        EXPECT_EQ(inside.encode(text, special), bpe_.encode(text, special)) << text;
      }
      EXPECT_EQ(inside.decode(inside.encode(text, SpecialTokens::parse)), text);
    }
  });
}

TEST_F(RotorTokenizerTest, LiesInTheFileAsTheFormatSays) {
  const RotorFile file(path_);
  for (const char* name : kBpeTensors) {
    const TensorInfo& tensor = file.container().at(name);
    EXPECT_EQ((file.container().data_offset() + tensor.begin) % 256, 0U) << name;
  }
  EXPECT_EQ(file.text().tokenizer, "byte_level_bpe");
  const BpeTables tables = bpe_tables(file.container());
  EXPECT_EQ(tables.num_tokens(), 264U);
  EXPECT_EQ(tables.token(258), "abc");
  EXPECT_EQ(tables.special_ids[0], 263U);
  // Slots by the formulas of docs/file-format.md; other keys may have come first.
  const auto expect_slot = [](std::span<const uint32_t> table, uint64_t hash,
                              std::vector<uint32_t> expected) {
    const size_t slots = table.size() / expected.size();
    const size_t first = (hash >> 32) * slots >> 32;
    for (size_t probe = 0; probe < BpeTables::kMaxProbes; ++probe) {
      const auto entry = table.subspan((first + probe) % slots * expected.size(), expected.size());
      if (std::equal(entry.begin(), entry.end(), expected.begin())) return;
      ASSERT_NE(entry.back(), BpeTables::kNone) << "an empty slot before the key's";
    }
    FAIL() << "not found";
  };
  expect_slot(tables.merges, (uint64_t{'a'} << 32 | 'b') * 0x9E3779B97F4A7C15U, {'a', 'b', 256, 256});
  EXPECT_EQ(checksum({{'a', 'b', 'c'}}), "78af5f94892f3950");
  expect_slot(tables.token_index, 0x78af5f94892f3950, {0x892f3950, 258});
}

TEST_F(RotorTokenizerTest, ModelsWithoutTokenizerHaveNone) {
  test::write_model_with(path_, {});
  EXPECT_EQ(tokenizer_of(RotorFile(path_)), nullptr);
  EXPECT_TRUE(RotorFile(path_).text().tokenizer.empty());
  expect_error([&] { load_tokenizer(path_); }, {path_, "no tokenizer"});
  expect_error([&] { tokenizer_hash(path_); }, {path_, ".rotor"});
}

TEST_F(RotorTokenizerTest, TextMetadataComeBack) {
  RotorAttachments attachments = bpe_.attachments();
  attachments.set_chat_template("{% for m in messages %}\n\"");
  attachments.set_stop_tokens({263, 7});
  attachments.set_bos_token(5);
  test::write_model_with(path_, attachments);
  const TextMetadata text = RotorFile(path_).text();
  EXPECT_EQ(text.chat_template, "{% for m in messages %}\n\"");
  EXPECT_EQ(text.stop_tokens, (std::vector<int32_t>{263, 7}));
  EXPECT_EQ(text.bos_token, 5);
}

TEST_F(RotorTokenizerTest, WriterRefusesWhatTheReaderWould) {
  RotorAttachments attachments = bpe_.attachments();
  attachments.metadata["rotor.config"] = "{}";
  expect_refused(attachments, {"rotor.config", "cannot be attached"});
  attachments = bpe_.attachments();
  attachments.tensors[0].name = "tokenizer.other";
  expect_refused(attachments, {"tokenizer.other", "not part of a tokenizer byte_level_bpe"});
  attachments = bpe_.attachments();
  attachments.tensors.pop_back();
  expect_refused(attachments, {"tokenizer.special_ids", "missing"});
  attachments = bpe_.attachments();
  attachments.tensors.push_back(attachments.tensors[2]);
  expect_refused(attachments, {"tokenizer.token_index", "missing"});
  attachments = bpe_.attachments();
  attachments.tensors[4].shape = {255};
  expect_refused(attachments, {"tokenizer.byte_ids", "U32 [256]", "[255]"});
  attachments = bpe_.attachments();
  attachments.tensors[1].dtype = DType::i32;
  expect_refused(attachments, {"tokenizer.token_offsets", "expected U32", "I32"});
  attachments = bpe_.attachments();
  attachments.tensors[3].shape = {0, 4};
  expect_refused(attachments, {"tokenizer.merges", "at least 1"});
  for (const char* key : {rotor_key::kSplitPattern, rotor_key::kIgnoreMerges}) {
    attachments = bpe_.attachments();
    attachments.metadata.erase(key);
    expect_refused(attachments, {key});
  }
  attachments = bpe_.attachments();
  attachments.metadata[rotor_key::kTokenizer] = "wordpiece";
  expect_refused(attachments, {"wordpiece", "unknown"});
  attachments.metadata.erase(rotor_key::kTokenizer);
  expect_refused(attachments, {"has no tokenizer"});
  for (const char* bad : {"x", "{}", "[-1]", "[1.5]", "[4294967296]", "[\"a\"]"}) {
    attachments = bpe_.attachments();
    attachments.metadata[rotor_key::kStopTokens] = bad;
    expect_refused(attachments, {"rotor.stop_tokens"});
  }
  attachments = bpe_.attachments();
  attachments.metadata[rotor_key::kBosToken] = "[1]";
  expect_refused(attachments, {"rotor.bos_token"});
}

TEST_F(RotorTokenizerTest, ReaderRefusesForeignTensors) {
  // The same header length: only the name differs, and the header checksum is made right again.
  std::string bytes = good_;
  for (size_t at = 0; (at = bytes.find("tokenizer.merges", at)) != std::string::npos; ++at)
    bytes.replace(at, 16, "tokenizer.mergez");
  const std::string field = "\"rotor.header_checksum\":\"";
  const size_t at = bytes.find(field) + field.size();
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  bytes.replace(at, 16, kBlankChecksum);
  bytes.replace(at, 16, checksum({reinterpret_cast<const uint8_t*>(bytes.data()), 8 + length}));
  test::write_bytes(path_, bytes);
  expect_error([&] { RotorFile{path_}; }, {path_, "tokenizer.mergez", "not part"});
}

TEST_F(RotorTokenizerTest, AFlippedBitIsFoundAndHarmless) {
  const RotorFile file(path_);
  for (const char* name : kBpeTensors) {
    const TensorInfo& tensor = file.container().at(name);
    const size_t stride = tensor.end - tensor.begin < 1024 ? 1 : 7;  // odd: every byte of a word has its turn
    for (size_t i = tensor.begin; i < tensor.end; i += stride) {
      std::string bytes = good_;
      char& byte = bytes[file.container().data_offset() + i];
      byte = static_cast<char>(byte ^ (1 << i % 8));
      test::write_bytes(path_, bytes);
      EXPECT_FALSE(RotorFile(path_).verify().empty()) << name << " " << i;
      exercise();
    }
  }
}

TEST_F(RotorTokenizerTest, GarbageInTablesIsHarmless) {
  const RotorFile file(path_);
  test::Random random;
  for (int round = 0; round < 400; ++round) {
    std::string bytes = good_;
    for (const char* name : kBpeTensors) {
      if (round >= 4 && random.integer(0, 1) == 0) continue;
      const TensorInfo& tensor = file.container().at(name);
      for (size_t i = tensor.begin; i < tensor.end; i += 4) {
        // All slots full, all empty, ids in range but wrong, or anything.
        const std::array<uint32_t, 4> kinds = {0, BpeTables::kNone,
                                               static_cast<uint32_t>(random.integer(0, 263)),
                                               static_cast<uint32_t>(random.integer(0, 1 << 30))};
        const uint32_t word = kinds[static_cast<size_t>(round) % 4];
        std::memcpy(&bytes[file.container().data_offset() + i], &word, std::min<size_t>(4, tensor.end - i));
      }
    }
    test::write_bytes(path_, bytes);
    exercise();
    EXPECT_EQ(RotorFile(path_).verify().empty(), bytes == good_);
  }
}

/// The slot of the index that holds `id`.
std::span<uint32_t>::iterator bpe_slot(std::span<uint32_t> index, uint32_t id) {
  auto slot = index.begin();
  while (slot[1] != id) slot += 2;
  return slot;
}

TEST_F(RotorTokenizerTest, VerifyKnowsWhatTheTablesMean) {
  RotorAttachments bad = bpe_.attachments();
  words(bad, "tokenizer.token_offsets")[100] = 5;
  expect_fault(bad, "token 99 lies from byte 99 to 5");
  bad = bpe_.attachments();
  words(bad, "tokenizer.token_offsets")[0] = 1;
  expect_fault(bad, "does not start with 0");
  bad = bpe_.attachments();
  words(bad, "tokenizer.token_offsets")[264] -= 1;
  expect_fault(bad, "token_offsets: ends with");
  bad = bpe_.attachments();
  words(bad, "tokenizer.byte_ids")[65] = 66;
  expect_fault(bad, "byte_ids: 65: token 66");
  bad = bpe_.attachments();
  words(bad, "tokenizer.special_ids")[0] = 264;
  expect_fault(bad, "0 to 263, found 264");
  bad = bpe_.attachments();
  const auto index = words(bad, "tokenizer.token_index");
  std::fill(index.begin(), index.end(), BpeTables::kNone);
  expect_fault(bad, "is not found by its bytes");
  bad = bpe_.attachments();
  const auto merges = words(bad, "tokenizer.merges");
  for (size_t slot = 0; slot < merges.size(); slot += 4) {
    if (merges[slot + 3] == 256) merges[slot + 3] = 257;
  }
  expect_fault(bad, "do not make token 257");
  bad = bpe_.attachments();
  const auto slots = words(bad, "tokenizer.token_index");
  for (size_t slot = 0; slot < slots.size(); slot += 2) {
    if (slots[slot + 1] == BpeTables::kNone)
      std::copy_n(bpe_slot(slots, 256), 2, slots.begin() + static_cast<std::ptrdiff_t>(slot));
  }
  expect_fault(bad, "holds token 256, which stands there twice");
  BpeDefinition with_empty = test::small_bpe();
  with_empty.tokens.emplace_back();
  bad = ByteLevelBpe(with_empty).attachments();
  const auto table = words(bad, "tokenizer.merges");
  std::vector<BpeMerge> entries;
  for (size_t slot = 0; slot < table.size(); slot += 4) {
    if (table[slot] != BpeTables::kNone)
      entries.push_back({table[slot], table[slot + 1], table[slot + 2], table[slot + 3]});
  }
  entries[0] = {97, 264, entries[0].rank, 97};
  std::ranges::copy(build_merge_table(entries), table.begin());
  expect_fault(bad, "tokens 97 and 264: one has no bytes");
}

TEST_F(RotorTokenizerTest, AFileTruncatedInUseGivesAnError) {
  const auto tokenizer = load_tokenizer(path_);
  std::filesystem::resize_file(path_, 4096);
  expect_error([&] { static_cast<void>(tokenizer->encode("abc abc", SpecialTokens::as_text)); }, {path_});
  expect_error([&] { static_cast<void>(tokenizer->decode({{97}})); }, {path_});
}

}  // namespace
}  // namespace rotor::text
