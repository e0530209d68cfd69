// Unicode's normalization form C, which Qwen2's tokenizers put texts into before they cut them: "e" and a
// combining acute become the one letter. Not for SentencePiece, whose models bring rules of their own.
#pragma once

#include <string>
#include <string_view>

namespace rotor::text {

/// `text` in form C (Unicode Standard Annex 15, by utf8proc's tables): `text` itself if its bytes show that
/// it is so already, else in `memory`. Bytes that are not valid UTF-8 stay; what stands between them is
/// normalized by itself. Takes time in n log n at most, whatever the text holds. Marks that are newer than
/// another program's tables may be ordered otherwise there: tokenizers 0.23 has those of Unicode 9.
std::string_view to_nfc(std::string_view text, std::string& memory);

}  // namespace rotor::text
