// Where Google's SentencePiece library comes in. A program links one of two libraries that define what is
// declared here and train_sentencepiece(): rotor_sentencepiece, which links Google's, or
// rotor_sentencepiece_loader, which loads it as a module with symbols of its own. Programs with LibTorch need
// the second: Debian's LibTorch and Debian's SentencePiece bring two versions of protobuf, which do not bear
// one another in one scope.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "rotor/text/tokenizer.h"
#include "rotor/text/train_sentencepiece.h"

namespace rotor::text {

/// The tokenizer of a SentencePiece model. `model`: the contents of a model file. Throws Error naming `path`
/// if they are none, or if the module cannot be loaded.
std::unique_ptr<Tokenizer> make_sentencepiece_tokenizer(std::string_view model, const std::string& path);

/// What the module offers.
struct SentencePieceModule {
  std::unique_ptr<Tokenizer> (*make_tokenizer)(std::string_view model, const std::string& path);
  std::string (*train)(const SentencePieceOptions& options, const NextText& texts);
};
inline constexpr const char* kSentencePieceModuleFile = "rotor_sentencepiece.so";
inline constexpr const char* kSentencePieceModuleEntry = "rotor_sentencepiece_module";

}  // namespace rotor::text
