// Each part of an answer is looked at as far as what came decides it; the rest is held back.
#include "runtime/server/api/tool_call_parser.h"

#include <algorithm>
#include <utility>

namespace rotor::runtime::server {
namespace {

constexpr std::string_view kSpace = " \n\r\t";
constexpr std::string_view kHermesBegin = "<tool_call>";
constexpr std::string_view kHermesEnd = "</tool_call>";
constexpr std::string_view kMistralBegin = "[TOOL_CALLS]";
constexpr std::string_view kPythonTag = "<|python_tag|>";

/// Whether `text` is a beginning of `whole`, but not all of it.
bool may_become(std::string_view text, std::string_view whole) {
  return text.size() < whole.size() && whole.starts_with(text);
}

size_t skip_space(std::string_view text, size_t from = 0) {
  return std::min(text.find_first_not_of(kSpace, from), text.size());
}

/// Without the end of `text` that may belong to a call: space, and a beginning of `marker`.
std::string_view certain_text(std::string_view text, std::string_view marker) {
  size_t end = text.size();
  for (size_t i = text.size() - std::min(text.size(), marker.size() - 1); i < text.size(); ++i) {
    if (!may_become(text.substr(i), marker)) continue;
    end = i;
    break;
  }
  return text.substr(0, text.substr(0, end).find_last_not_of(kSpace) + 1);
}

}  // namespace

ToolCallParser::ToolCallParser(ToolFormat format, std::vector<std::string> names, bool several)
    : format_(format), names_(std::move(names)), several_(several) {}

std::vector<ToolDelta> ToolCallParser::push(std::string_view text) {
  pending_ += text;
  while (step()) {
  }
  if (where_ == Where::call) send_call();
  return std::exchange(deltas_, {});
}

std::vector<ToolDelta> ToolCallParser::finish() {
  if (where_ == Where::call) break_call(true);
  const std::string_view rest = std::string_view(pending_).substr(skip_space(pending_));
  const bool is_end_of_call = where_ == Where::behind_call && may_become(rest, kHermesEnd);
  const bool is_space = rest.empty();
  if (where_ != Where::done && !is_end_of_call && !(is_space && calls_ > 0)) say(pending_);
  pending_.clear();
  where_ = Where::done;
  return std::exchange(deltas_, {});
}

bool ToolCallParser::step() {
  switch (where_) {
    case Where::text:
      return read_text();
    case Where::call:
      return read_call();
    case Where::behind_call:
      return read_behind();
    case Where::plain:
      say(std::exchange(pending_, ""));
      return false;
    case Where::done:
      pending_.clear();
      return false;
  }
  return false;
}

bool ToolCallParser::read_text() {
  if (at_start_ && format_ != ToolFormat::hermes) return read_start();
  const std::string_view marker = format_ == ToolFormat::hermes ? kHermesBegin : kMistralBegin;
  const size_t found = pending_.find(marker);
  const std::string_view text =
      certain_text(std::string_view(pending_).substr(0, found), found == std::string::npos ? marker : kSpace);
  say(text);
  const size_t said = text.size();
  pending_.erase(0, said);
  if (found == std::string::npos) return false;
  begin_call(found - said + marker.size());
  return true;
}

/// A call of Llama's is the whole answer; Mistral's marker may have been a token without text.
bool ToolCallParser::read_start() {
  const size_t begin = skip_space(pending_);
  const std::string_view rest = std::string_view(pending_).substr(begin);
  if (rest.empty()) return false;
  if (format_ == ToolFormat::llama) {
    const size_t tag = rest.starts_with(kPythonTag) ? kPythonTag.size() : 0;
    const size_t call = skip_space(rest, tag);
    if (may_become(rest, kPythonTag) || call == rest.size()) return false;
    at_start_ = false;
    if (rest[call] == '{') {
      begin_call(begin + call);
    } else {
      where_ = Where::plain;
    }
    return true;
  }
  const size_t item = rest[0] == '[' ? skip_space(rest, 1) : rest.size();
  if (rest[0] == '[' && (item == rest.size() || may_become(rest, kMistralBegin))) return false;
  at_start_ = false;
  if (item < rest.size() && rest[item] == '{') begin_call(begin);
  return true;
}

void ToolCallParser::begin_call(size_t consumed) {
  raw_ = pending_.substr(0, consumed);
  pending_.erase(0, consumed);
  in_list_ = false;
  where_ = Where::call;
  reader_.reset();
}

bool ToolCallParser::read_call() {
  size_t used = 0;
  if (!reader_) {
    used = skip_space(pending_);
    if (format_ == ToolFormat::mistral && !in_list_ && used < pending_.size() && pending_[used] == '[') {
      in_list_ = true;
      used = skip_space(pending_, used + 1);
    }
    raw_ += pending_.substr(0, used);
    pending_.erase(0, used);
    if (pending_.empty()) return false;
    reader_.emplace(names_);
    used = 0;
  }
  auto state = ToolCallReader::State::open;
  while (used < pending_.size() && state == ToolCallReader::State::open)
    state = reader_->push(pending_[used++]);
  raw_ += pending_.substr(0, used);
  pending_.erase(0, used);
  if (state == ToolCallReader::State::open) return false;
  if (state == ToolCallReader::State::broken) {
    break_call(false);
    return true;
  }
  send_call();
  reader_.reset();
  raw_.clear();
  ++index_;
  ++calls_;
  where_ = several_ ? Where::behind_call : Where::done;
  return true;
}

bool ToolCallParser::read_behind() {
  const size_t begin = skip_space(pending_);
  const std::string_view rest = std::string_view(pending_).substr(begin);
  if (rest.empty()) return false;
  if (format_ == ToolFormat::hermes) {
    if (may_become(rest, kHermesEnd)) return false;
    if (rest.starts_with(kHermesEnd)) {
      pending_.erase(0, begin + kHermesEnd.size());
      where_ = Where::text;
    } else if (rest[0] == '{') {
      begin_call(begin);
    } else {
      where_ = Where::text;
    }
    return true;
  }
  const bool is_separated = rest[0] == ',' || (rest[0] == ';' && format_ == ToolFormat::llama);
  const size_t next = is_separated ? skip_space(rest, 1) : 0;
  if (next == rest.size()) return false;
  const bool wants_more = in_list_ ? is_separated : format_ == ToolFormat::llama;
  if (wants_more && rest[next] == '{') {
    const bool in_list = in_list_;
    begin_call(begin + next);
    in_list_ = in_list;
    return true;
  }
  if (in_list_ && rest[0] == ']') pending_.erase(0, begin + 1);
  where_ = format_ == ToolFormat::llama ? Where::plain : Where::text;
  return true;
}

void ToolCallParser::break_call(bool is_cut) {
  const bool is_out = reader_ && reader_->is_out();
  if (is_out) {
    deltas_.push_back({ToolDelta::Kind::broken, index_++, raw_, is_cut});
  } else {
    say(raw_);
  }
  raw_.clear();
  reader_.reset();
  where_ = format_ == ToolFormat::llama ? Where::plain : Where::text;
}

void ToolCallParser::send_call() {
  if (!reader_) return;
  if (auto name = reader_->take_name()) {
    deltas_.push_back({ToolDelta::Kind::call, index_, *std::move(name)});
  }
  if (std::string piece = reader_->take_arguments(); !piece.empty()) {
    deltas_.push_back({ToolDelta::Kind::arguments, index_, std::move(piece)});
  }
}

void ToolCallParser::say(std::string_view text) {
  if (text.empty()) return;
  if (!deltas_.empty() && deltas_.back().kind == ToolDelta::Kind::content) {
    deltas_.back().text += text;
  } else {
    deltas_.push_back({ToolDelta::Kind::content, 0, std::string(text)});
  }
}

}  // namespace rotor::runtime::server
