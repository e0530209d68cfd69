// The module's one symbol (sentencepiece.h).
#include "rotor/text/sentencepiece.h"

extern "C" const rotor::text::SentencePieceModule* rotor_sentencepiece_module() {
  static const rotor::text::SentencePieceModule kModule = {rotor::text::make_sentencepiece_tokenizer,
                                                           rotor::text::train_sentencepiece};
  return &kModule;
}
