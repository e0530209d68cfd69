// Windows of text, and conversations, as rows.
#include "train/data/language_data.h"

#include <utility>

#include "rotor/core/error.h"
#include "train/data/chat_dataset.h"

namespace rotor::train {
namespace {

class TextWindows final : public LanguageData {
 public:
  TextWindows(TextCorpus corpus, bool random, int64_t block_size)
      : corpus_(std::move(corpus)), random_(random), block_size_(block_size) {}

  TokenBatch training_rows(const WindowRequest& request) const override {
    return random_ ? corpus_.train.random_windows(request) : corpus_.train.sequential_windows(request);
  }
  int64_t num_validation_rows() const override {
    // Of a split that is shorter than a window, windows() says so.
    return corpus_.validation.num_tokens() == 0
               ? 0
               : std::max<int64_t>(corpus_.validation.num_windows(block_size_), 1);
  }
  TokenBatch validation_rows(int64_t first, int64_t count) const override {
    return corpus_.validation.windows(first, count, block_size_);
  }
  int64_t first_token() const override { return corpus_.train.windows(0, 1, 1).inputs[0][0].item<int64_t>(); }
  std::string description() const override {
    return cat(corpus_.train.num_tokens(), " training and ", corpus_.validation.num_tokens(),
               " validation tokens");
  }
  std::string checksum() const override { return corpus_.train.data_checksum(); }

 private:
  TextCorpus corpus_;
  bool random_;
  int64_t block_size_;
};

class ChatRows final : public LanguageData {
 public:
  ChatRows(ChatSplits<EncodedChat> chats, int64_t block_size)
      : train_(std::move(chats.train), block_size), validation_(std::move(chats.validation), block_size) {}

  TokenBatch training_rows(const WindowRequest& request) const override { return train_.rows(request); }
  int64_t num_validation_rows() const override { return validation_.num_rows(); }
  TokenBatch validation_rows(int64_t first, int64_t count) const override {
    return validation_.rows(first, count);
  }
  int64_t rows_in_epochs(int64_t epochs, uint64_t seed) const override {
    return train_.rows_in_epochs(epochs, seed);
  }
  int64_t first_token() const override { return train_.first_token(); }
  std::string description() const override {
    return cat(train_.num_chats(), " training chats (", train_.num_tokens(), " tokens, ",
               train_.num_targets(), " in answers) and ", validation_.num_chats(), " for validation (",
               validation_.num_targets(), " tokens in answers)");
  }
  std::string checksum() const override { return train_.data_checksum(); }

 private:
  ChatDataset train_;
  ChatDataset validation_;
};

}  // namespace

std::unique_ptr<LanguageData> make_chat_data(ChatSplits<EncodedChat> chats, int64_t block_size) {
  return std::make_unique<ChatRows>(std::move(chats), block_size);
}

std::unique_ptr<LanguageData> make_text_data(TextCorpus corpus, const std::string& window,
                                             int64_t block_size) {
  return std::make_unique<TextWindows>(std::move(corpus), window == "random", block_size);
}

}  // namespace rotor::train
