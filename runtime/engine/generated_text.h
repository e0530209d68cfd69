// From new tokens to the text that is shown: whole characters, up to a stop string.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "rotor/text/stream_decoder.h"
#include "runtime/engine/stop_strings.h"

namespace rotor::runtime {

class GeneratedText {
 public:
  /// `tokenizer` must outlive this object; nullptr: there is no text. `continues`: as in StreamDecoder.
  /// Throws Error for stop strings without a tokenizer, and as StopStrings does.
  GeneratedText(const text::Tokenizer* tokenizer, bool continues,
                const std::vector<std::string>& stop_strings);

  /// What can be shown now that `id` came, perhaps nothing.
  std::string push(text::TokenId id);
  /// Whether a stop string ended the text.
  bool stopped() const { return stops_.found(); }
  /// What was held back, at the end.
  std::string finish();

 private:
  std::optional<text::StreamDecoder> decoder_;
  StopStrings stops_;
};

}  // namespace rotor::runtime
