// Finds calls of tools in what a model says, as it comes: text goes on as text, a call's name goes out as
// soon as it is known and its arguments piece by piece. Nothing is run here.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/server/api/json_scanner.h"

namespace rotor::runtime::server {

/// How models write calls.
enum class ToolFormat {
  hermes,  ///< <tool_call>{"name": ..., "arguments": {...}}</tool_call>, each (Hermes, Qwen)
  llama,   ///< {"name": ..., "parameters": {...}} in place of an answer (Llama 3.1)
  mistral  ///< [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]
};

/// A piece of an answer.
struct ToolDelta {
  enum class Kind {
    content,    ///< `text` is text
    call,       ///< a call of the tool `text` begins
    arguments,  ///< `text` goes on with its arguments, which are JSON
    broken      ///< it was none: `text` is what the model said, from the call's beginning on
  };
  Kind kind = Kind::content;
  size_t index = 0;  ///< of the call
  std::string text;
  bool is_cut = false;  ///< broken since the answer ended there

  bool operator==(const ToolDelta&) const = default;
};

/// One call, a JSON object that comes byte by byte.
class ToolCallReader {
 public:
  enum class State { open, whole, broken };

  /// `names`: of the tools that there are; it must outlive this.
  explicit ToolCallReader(const std::vector<std::string>& names) : names_(names) {}

  /// The next byte; the first one is '{'.
  State push(char byte);
  /// The name, once, as soon as it is known.
  std::optional<std::string> take_name();
  /// What is new of the arguments, and known to be such.
  std::string take_arguments();
  /// Whether something was taken.
  bool is_out() const { return name_is_out_; }

 private:
  bool begin_value();
  bool end_value();
  bool take_whole_arguments(std::string_view value);

  const std::vector<std::string>& names_;
  JsonScanner scanner_;
  std::string text_;
  size_t text_begin_ = 0;   // of the text that was read last, a key or a value
  size_t value_begin_ = 0;  // of the member that is read
  std::string key_;
  std::optional<std::string> name_;
  bool name_is_out_ = false;
  bool has_arguments_ = false;
  bool streams_ = false;   // the arguments are an object that is being read, or was
  size_t sent_ = 0;        // of text_, while streams_
  size_t object_end_ = 0;  // of the arguments in text_, once they are whole
  std::string whole_;      // arguments that came as a text, or not at all
};

class ToolCallParser {
 public:
  /// `names`: of the tools that there are: what calls another one is text. Without `several` the first whole
  /// call ends the answer.
  ToolCallParser(ToolFormat format, std::vector<std::string> names, bool several = true);
  ToolCallParser(const ToolCallParser&) = delete;  // the reader views the names
  ToolCallParser& operator=(const ToolCallParser&) = delete;

  /// What came, which may end anywhere.
  std::vector<ToolDelta> push(std::string_view text);
  /// What was held back, when the answer ended.
  std::vector<ToolDelta> finish();
  /// Whole calls so far.
  size_t calls() const { return calls_; }
  /// Whether all that may come is not wanted.
  bool done() const { return where_ == Where::done; }

 private:
  enum class Where { text, call, behind_call, plain, done };

  /// Each does what it can with pending_. Returns false if more must come first.
  bool step();
  bool read_text();
  bool read_start();
  bool read_call();
  bool read_behind();
  void begin_call(size_t consumed);
  void break_call(bool is_cut);
  void say(std::string_view text);
  void send_call();

  ToolFormat format_;
  std::vector<std::string> names_;
  bool several_;
  Where where_ = Where::text;
  bool at_start_ = true;
  bool in_list_ = false;  // of Mistral's calls
  std::string pending_;   // not looked at yet
  std::string raw_;       // of the call that is read, and what began it
  std::optional<ToolCallReader> reader_;
  size_t index_ = 0;  // of that call
  size_t calls_ = 0;
  std::vector<ToolDelta> deltas_;
};

}  // namespace rotor::runtime::server
