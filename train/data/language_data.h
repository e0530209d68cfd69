// What a language model is trained and evaluated on, seen from the task: rows of tokens with targets. Texts
// give windows (TextDataset), conversations packed rows (chat_dataset.h).
#pragma once

#include <memory>
#include <string>

#include "train/data/chat_file.h"
#include "train/data/text_dataset.h"

namespace rotor::train {

class LanguageData {
 public:
  virtual ~LanguageData() = default;

  /// The batch of a training step, or some rows of it: a pure function of the request.
  virtual TokenBatch training_rows(const WindowRequest& request) const = 0;
  /// Rows of the validation split; 0 if there is none.
  virtual int64_t num_validation_rows() const = 0;
  /// Rows first to first + count - 1 of them, in order.
  virtual TokenBatch validation_rows(int64_t first, int64_t count) const = 0;
  /// Rows in which the first `epochs` epochs of training show everything once each; 0 if there are no epochs.
  virtual int64_t rows_in_epochs(int64_t /*epochs*/, uint64_t /*seed*/) const { return 0; }
  /// Of training rows: what a text begins with.
  virtual int64_t first_token() const = 0;
  /// "1003854 training and 111540 validation tokens".
  virtual std::string description() const = 0;
  /// Changes if the training data do. Reads no tokens.
  virtual std::string checksum() const = 0;
};

/// Windows of `corpus`: random or sequential, as `window` says.
std::unique_ptr<LanguageData> make_text_data(TextCorpus corpus, const std::string& window,
                                             int64_t block_size);

/// Packed rows of conversations (chat_dataset.h).
std::unique_ptr<LanguageData> make_chat_data(ChatSplits<EncodedChat> chats, int64_t block_size);

}  // namespace rotor::train
