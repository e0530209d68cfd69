// A member of the call ends where its value does, so that the name is known before the arguments are, and
// arguments that come first wait for it.
#include <algorithm>
#include <array>

#include "rotor/formats/json.h"
#include "runtime/server/api/tool_call_parser.h"

namespace rotor::runtime::server {
namespace {

constexpr std::string_view kWhitespace = " \n\r\t";

std::string_view trim(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kWhitespace), text.size());
  return text.substr(begin, text.find_last_not_of(kWhitespace) + 1 - begin);
}

std::optional<std::string> decode_text(std::string_view json) {
  if (!json.starts_with('"')) return std::nullopt;
  const Json value = Json::parse(json, nullptr, false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

bool holds_arguments(std::string_view key) {
  return key == "arguments" || key == "parameters";
}

}  // namespace

ToolCallReader::State ToolCallReader::push(char byte) {
  const size_t depth = scanner_.depth();
  const bool in_text = scanner_.in_text();
  text_ += byte;
  const JsonScanner::State state = scanner_.push(byte);
  if (state == JsonScanner::State::broken || (depth == 0 && byte != '{')) return State::broken;
  if (depth == 1 && !in_text) {
    if (byte == '"') text_begin_ = text_.size() - 1;
    if (byte == ':' && !begin_value()) return State::broken;
    if ((byte == ',' || byte == '}') && !end_value()) return State::broken;
  }
  // Arguments that are no object are looked at when they end.
  if (depth == 1 && byte == '{' && !in_text && holds_arguments(key_)) {
    streams_ = has_arguments_ = true;
    sent_ = text_.size() - 1;
  }
  if (state != JsonScanner::State::whole) return State::open;
  if (!name_) return State::broken;
  if (!has_arguments_) whole_ = "{}";
  return State::whole;
}

bool ToolCallReader::begin_value() {
  constexpr std::array<std::string_view, 5> kKeys = {"name", "arguments", "parameters", "id", "type"};
  value_begin_ = text_.size();
  const std::optional<std::string> key =
      decode_text(trim(std::string_view(text_).substr(text_begin_, text_.size() - 1 - text_begin_)));
  key_ = key.value_or("");
  if (std::ranges::find(kKeys, key_) == kKeys.end()) return false;
  return !(holds_arguments(key_) && has_arguments_) && !(key_ == "name" && name_);
}

bool ToolCallReader::end_value() {
  const std::string_view value =
      trim(std::string_view(text_).substr(value_begin_, text_.size() - 1 - value_begin_));
  if (key_ == "name") {
    name_ = decode_text(value);
    if (!name_ || std::ranges::find(names_, *name_) == names_.end()) return false;
  } else if (holds_arguments(key_)) {
    return take_whole_arguments(value);
  }
  key_.clear();
  return true;
}

bool ToolCallReader::take_whole_arguments(std::string_view value) {
  key_.clear();
  has_arguments_ = true;
  if (streams_) {
    object_end_ = static_cast<size_t>(value.data() - text_.data()) + value.size();
    return true;
  }
  if (value == "null") {
    whole_ = "{}";
    return true;
  }
  whole_ = decode_text(value).value_or("");
  return trim(whole_).starts_with('{') && is_json(whole_);
}

std::optional<std::string> ToolCallReader::take_name() {
  if (!name_ || name_is_out_) return std::nullopt;
  name_is_out_ = true;
  return name_;
}

std::string ToolCallReader::take_arguments() {
  if (!name_is_out_) return "";
  if (!streams_) return std::exchange(whole_, "");
  // Space behind the object is no part of it, so at depth 1 its end is waited for.
  const size_t end = object_end_ != 0 ? object_end_ : scanner_.depth() > 1 ? text_.size() : sent_;
  std::string piece = text_.substr(sent_, end - sent_);
  sent_ = end;
  return piece;
}

}  // namespace rotor::runtime::server
