// What `rotor chat` is once the model is there: it reads messages and commands, and shows answers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "runtime/chat/chat.h"
#include "runtime/cli/line_editor.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::cli {

class ChatShell {
 public:
  struct Options {
    SamplerOptions sampling;      ///< its seed is that of the first answer; each further one has the next
    int64_t max_new_tokens = -1;  ///< of an answer; -1: until the model ends it
    std::vector<std::string> stop_strings;
    bool colors = false;
    std::string history;                                                ///< file of what was typed
    std::function<std::shared_ptr<TokenConstraint>()> make_constraint;  ///< of an answer; may be empty
    std::shared_ptr<const retrieval::SourceFinder> sources;             ///< nullptr: there is no base
    retrieval::RetrievalOptions retrieval;
  };
  ChatShell(const LanguageModel& model, Chat& chat, Options options);

  /// Until the end of the input, or /exit. Returns the exit status. If someone types, an error is shown and
  /// the chat goes on, and an interrupt stops the answer alone; else the first Error is thrown, and an
  /// interrupt ends the chat.
  int run();
  /// One message and its answer. False if it was interrupted.
  bool ask(const std::string& message);

 private:
  /// A message, of one line or several; nothing at the end of the input, or of the chat.
  std::optional<std::string> read_message();
  /// False if an answer was interrupted; so regenerate() and show().
  bool command(const std::string& line);
  void set(const std::string& arguments);
  bool regenerate();
  void print_settings() const;
  void print_statistics() const;
  void print_sources() const;
  /// What the model reads before the question that is to be answered; noted in retrieval_.
  std::string find_context(const std::function<bool()>& goes_on);
  void show_sources() const;
  bool show(const std::optional<std::string>& message);

  const LanguageModel& model_;
  Chat& chat_;
  Options options_;
  LineEditor editor_;
  bool on_terminal_;          // what is shown
  bool interrupted_ = false;  // while waiting for input that nobody types
  std::optional<ChatAnswer> last_;
  std::optional<retrieval::Retrieval> retrieval_;  // of the last answer, if there is a base
  uint64_t answers_ = 0;
};

}  // namespace rotor::runtime::cli
