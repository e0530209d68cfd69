// How files write the tokens of byte-level BPE as text: tokenizer.json and GGUF spell every byte by a letter,
// and special tokens by their names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rotor/text/tokenizer_definition.h"

namespace rotor::text {

/// The bytes that a token stands for. Throws Error naming the file for a letter that stands for none.
std::string bytes_of_letters(std::string_view token, const std::string& path);

/// The other way: one letter a byte, in UTF-8.
std::string letters_of_bytes(std::string_view bytes);

/// The text of every id of `bpe`, "" for those with no bytes. Throws Error naming both ids if two texts are
/// the same, which such files cannot hold.
std::vector<std::string> token_texts(const BpeDefinition& bpe);

}  // namespace rotor::text
