#include "runtime/engine/generated_text.h"

#include "rotor/core/error.h"

namespace rotor::runtime {

GeneratedText::GeneratedText(const text::Tokenizer* tokenizer, bool continues,
                             const std::vector<std::string>& stop_strings)
    : stops_(stop_strings) {
  if (tokenizer != nullptr) decoder_.emplace(*tokenizer, continues);
  if (tokenizer == nullptr && !stop_strings.empty()) {
    fail("stop strings: expected a model with a tokenizer, found one without");
  }
}

std::string GeneratedText::push(text::TokenId id) {
  return decoder_ ? stops_.push(decoder_->push(id)) : "";
}

std::string GeneratedText::finish() {
  if (!decoder_ || stops_.found()) return "";
  const std::string rest = stops_.push(decoder_->finish());
  return rest + stops_.finish();
}

}  // namespace rotor::runtime
