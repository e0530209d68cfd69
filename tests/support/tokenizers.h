// Tokenizers for tests: a small one made here, golden ids for two published ones, and model files around
// them.
#pragma once

#include <string>
#include <vector>

#include "rotor/formats/attachments.h"
#include "rotor/text/byte_level_bpe.h"

namespace rotor::test {

/// A BPE of single bytes and a few merges of the letters a, b and c, with the special token <|end|>.
text::BpeDefinition small_bpe();

/// A serialized SentencePiece BPE of <unk>, <s>, </s>, all bytes, a user-defined new line and a few pieces of
/// the letters a, b and c and of spaces.
std::string small_sentencepiece(bool add_dummy_prefix = true);

/// Expects the same ids for texts of letters, spaces, special tokens and broken bytes, and the same texts
/// back.
void expect_same_ids(const text::Tokenizer& tokenizer, const text::Tokenizer& expected);

/// Expects the same tables and metadata in .rotor files.
void expect_same_attachments(const text::Tokenizer& tokenizer, const text::Tokenizer& expected);

/// A character in UTF-8.
std::string code_point(uint32_t point);

/// English-like lines, paragraphs and indented ones, of at least `bytes` bytes: the same every time.
std::string random_prose(size_t bytes);

/// Expects what other implementations gave for hard strings (tests/golden/tokenizers).
void expect_llama3(const text::Tokenizer& tokenizer);
void expect_nfc(const text::Tokenizer& tokenizer);
void expect_llama2(const text::Tokenizer& tokenizer);

/// Llama 3's tokenizer.json, unpacked into `directory`; "" without the shared data.
std::string llama3_tokenizer_json(const std::string& directory);

/// A small model file that holds `attachments`.
void write_model_with(const std::string& path, const RotorAttachments& attachments);

}  // namespace rotor::test
