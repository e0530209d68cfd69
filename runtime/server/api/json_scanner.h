// JSON that comes byte by byte: whether what came so far can still become a JSON value, and when it is one.
// It builds nothing.
#pragma once

#include <string>
#include <string_view>

namespace rotor::runtime::server {

class JsonScanner {
 public:
  enum class State {
    open,   ///< more must come
    whole,  ///< an object, array, text, true, false or null is complete; a number by the space behind it
    broken  ///< this can become no JSON value
  };

  /// The next byte. What comes behind a whole value breaks it, but for white space.
  State push(char byte);
  State state() const { return state_; }
  /// Objects and arrays that are open.
  size_t depth() const { return open_.size(); }
  bool in_text() const { return part_ == Part::text || part_ == Part::escape || part_ == Part::hex; }
  /// Whether the text that is read, or was read last, is a key.
  bool is_key() const { return is_key_; }

 private:
  enum class Part { value, first_item, key, first_key, colon, behind, text, escape, hex, literal, number };

  State step(char byte);
  State begin_value(char byte);
  State behind_value(char byte);
  State step_text(char byte);
  State step_number(char byte);
  State close();
  State end_value();

  static constexpr size_t kMaxDepth = 64;

  State state_ = State::open;
  Part part_ = Part::value;
  std::string open_;  // a '{' or '[' each
  bool is_key_ = false;
  int hex_digits_ = 0;
  std::string_view literal_;  // what must still come
  std::string number_;
};

/// Whether `text` is one JSON value, white space around it aside.
bool is_json(std::string_view text);

}  // namespace rotor::runtime::server
