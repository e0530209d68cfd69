#include "tests/support/chat_model.h"

#include "export/convert.h"
#include "rotor/text/byte_level_bpe.h"
#include "rotor/text/tokenizer_files.h"
#include "tests/support/models.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tokenizers.h"

namespace rotor::test {

void write_chat_model(const std::string& path, int64_t context, const std::string& chat_template,
                      const std::vector<text::TokenId>& stop_tokens) {
  write_chat_model(path, context, chat_template, text::ByteLevelBpe(small_bpe()), stop_tokens);
}

void write_chat_model(const std::string& path, int64_t context, const std::string& chat_template,
                      const text::Tokenizer& tokenizer, const std::vector<text::TokenId>& stop_tokens) {
  const TempDir directory;
  const std::string checkpoint = directory.file("checkpoint");
  ModelConfig config = small_transformer();
  config.transformer.vocab_size = tokenizer.vocab_size();
  config.transformer.max_position_embeddings = context;
  write_random_checkpoint(checkpoint, config);
  TextMetadata text{.tokenizer = "", .chat_template = {}, .bos_token = {}, .stop_tokens = {}};
  if (!chat_template.empty()) text.chat_template = chat_template;
  text::write_tokenizer_files(checkpoint, tokenizer, text);
  text::OpenedSource source = text::open_source(checkpoint, {});
  if (!stop_tokens.empty()) source.text.metadata.stop_tokens = stop_tokens;
  exporting::export_rotor(*source.model, source.text, path, {}, [](const auto&) {});
}

}  // namespace rotor::test
