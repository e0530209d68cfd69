// Texts are short: what is sought is a wrong step, not the time that many right ones take.
#include "tests/fuzz/exercise_tokenizer.h"

#include "rotor/formats/attachments.h"
#include "rotor/text/stream_decoder.h"
#include "tests/fuzz/harness.h"

namespace rotor::fuzz {
namespace {

constexpr size_t kSampleBytes = 200;
constexpr std::string_view kProbe =
    "  The sea's 1234567 waves\n\n\tabcabc aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa <s></s><|end|> "
    "\xE2\x96\x81\xE2\x96\x81 e\xCC\x81\xEF\xBC\xA1\xEF\xAC\x81 \xE6\xBC\xA2 \xF0\x9F\x98\x80 \xFF\xC3 end ";

void exercise_text(const text::Tokenizer& tokenizer, std::string_view text, text::SpecialTokens special,
                   bool comes_back) {
  const auto ids = tokenizer.encode(text, special);
  for (const text::TokenId id : ids) {
    require(id >= 0 && id < tokenizer.vocab_size(), "encode() gave an id that is out of range");
  }
  require(tokenizer.decode(ids) == text || !comes_back, "a text does not come back");
  text::StreamDecoder stream(tokenizer);
  for (const text::TokenId id : ids) static_cast<void>(stream.push(id));
  static_cast<void>(stream.finish());
}

}  // namespace

void exercise(const text::Tokenizer& tokenizer, std::string_view sample, bool texts_come_back) {
  for (const std::string_view text : {kProbe, sample.substr(0, kSampleBytes), std::string_view()}) {
    for (const auto special : {text::SpecialTokens::as_text, text::SpecialTokens::parse}) {
      attempt([&] { exercise_text(tokenizer, text, special, texts_come_back); });
    }
  }
  for (const int64_t id : {int64_t{-1}, int64_t{0}, tokenizer.vocab_size() - 1, tokenizer.vocab_size()}) {
    for (const bool first : {true, false}) {
      attempt([&] { static_cast<void>(tokenizer.token_bytes(static_cast<text::TokenId>(id), first)); });
    }
  }
  static_cast<void>(tokenizer.bos());
  static_cast<void>(tokenizer.eos());
  attempt([&] { static_cast<void>(tokenizer.attachments()); });
}

}  // namespace rotor::fuzz
