// Marks stand inside the texts of special tokens, so trimming, joining and looking for beginnings, which
// templates do with messages, go on as without them.
#include "rotor/text/text_guard.h"

#include <algorithm>
#include <array>
#include <random>

#include "rotor/text/jinja/python_text.h"

namespace rotor::text {
namespace {

constexpr std::array<std::string_view, 6> kAnswerMarks = {
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"};
constexpr uint32_t kFirstMark = 0xFDD0;  // noncharacters: U+FDD0 to U+FDEF
constexpr uint32_t kLastMark = 0xFDEF;
// 31^7 marks: a text of 660 GB holds them all; of any other, soon one is drawn that it does not hold.
constexpr int kDrawnMarks = 7;

bool any_text(const OrderedJson& value, const std::function<bool(const std::string&)>& is_wanted) {
  if (value.is_string()) return is_wanted(value.get_ref<const std::string&>());
  if (value.is_array()) {
    return std::ranges::any_of(value, [&](const OrderedJson& item) { return any_text(item, is_wanted); });
  }
  if (!value.is_object()) return false;
  const auto& members = value.get_ref<const OrderedJson::object_t&>();
  return std::ranges::any_of(members, [&](const auto& member) {
    return is_wanted(member.first) || any_text(member.second, is_wanted);
  });
}

}  // namespace

TextGuard::TextGuard(const Tokenizer& tokenizer, const std::vector<const OrderedJson*>& texts,
                     const std::function<uint32_t()>& random)
    : tokenizer_(tokenizer),
      names_(tokenizer.special_tokens()),
      specials_(std::vector<SpecialTokenTable::Entry>(names_.begin(), names_.end())) {
  // Only its beginning is U+FDD0, so that it is found again wherever it is put. Of one length whatever the
  // texts hold: it is put into them as often as they name special tokens.
  const auto has_mark = [&](const std::string& text) { return text.find(mark_) != std::string::npos; };
  do {
    mark_.clear();
    jinja::append_character(mark_, kFirstMark);
    for (int i = 0; i < kDrawnMarks; ++i) {
      jinja::append_character(mark_, kFirstMark + 1 + random() % (kLastMark - kFirstMark));
    }
  } while (std::ranges::any_of(texts, [&](const OrderedJson* value) { return any_text(*value, has_mark); }));
}

uint32_t TextGuard::draw() {
  static thread_local std::random_device random;
  return random();
}

std::string TextGuard::guard(std::string_view text, const std::vector<std::string_view>& allowed) const {
  std::string guarded;
  size_t copied = 0;
  // A special token may stand within another one's text, so each place is looked at.
  for (auto place = specials_.next(text, 0); place.token != nullptr;
       place = specials_.next(text, place.begin + 1)) {
    if (std::ranges::find(allowed, place.token->first) != allowed.end()) continue;
    size_t behind = place.begin;
    jinja::next_character(text, behind);
    guarded.append(text.substr(copied, behind - copied)).append(mark_);
    copied = behind;
  }
  return guarded.append(text.substr(copied));
}

void TextGuard::guard(OrderedJson& value, const std::vector<std::string_view>& allowed) const {
  if (value.is_string()) {
    value = guard(value.get_ref<const std::string&>(), allowed);
  } else if (value.is_array()) {
    for (OrderedJson& item : value) guard(item, allowed);
  } else if (value.is_object()) {
    OrderedJson::object_t guarded;  // a vector: keys stay different, so none is looked for
    for (auto& [key, member] : value.get_ref<OrderedJson::object_t&>()) {
      guard(member, allowed);
      guarded.emplace_back(guard(key, allowed), std::move(member));
    }
    value = std::move(guarded);
  }
}

void TextGuard::guard_messages(OrderedJson& messages) const {
  for (OrderedJson& message : messages) {
    const bool is_answer = message.is_object() && message.contains("role") && message["role"] == "assistant";
    guard(message, is_answer ? std::vector<std::string_view>(kAnswerMarks.begin(), kAnswerMarks.end())
                             : std::vector<std::string_view>());
  }
}

std::string TextGuard::plain(std::string_view rendered) const {
  std::string text;
  for (size_t begin = 0; begin < rendered.size();) {
    const size_t end = std::min(rendered.find(mark_, begin), rendered.size());
    text.append(rendered.substr(begin, end - begin));
    begin = end + mark_.size();
  }
  return text;
}

std::vector<TokenId> TextGuard::encode(std::string_view rendered) const {
  std::vector<TokenId> ids;
  const auto add_text = [&](std::string_view marked) {
    const std::vector<TokenId> part = tokenizer_.encode(plain(marked), SpecialTokens::as_text);
    ids.insert(ids.end(), part.begin(), part.end());
  };
  specials_.split(rendered, add_text, [&](TokenId id) { ids.push_back(id); });
  return ids;
}

}  // namespace rotor::text
