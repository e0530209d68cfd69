#include "runtime/retrieval/question.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace rotor::runtime::retrieval {
namespace {

constexpr size_t kMostBytes = 1000;
constexpr int64_t kFewWords = 4;
constexpr size_t kFewBytes = 60;  // scripts without blanks: some twenty characters

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

std::string trimmed(const std::string& text) {
  const auto first = std::find_if_not(text.begin(), text.end(), is_blank);
  const auto last = std::find_if_not(text.rbegin(), text.rend(), is_blank).base();
  return first < last ? std::string(first, last) : "";
}

/// From the beginning of a character on.
std::string end_of(const std::string& text) {
  if (text.size() <= kMostBytes) return text;
  size_t begin = text.size() - kMostBytes;
  while (begin < text.size() && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80U) ++begin;
  return text.substr(begin);
}

bool is_short(const std::string& text) {
  int64_t words = 0;
  for (size_t i = 0; i < text.size(); ++i)
    words += !is_blank(text[i]) && (i == 0 || is_blank(text[i - 1])) ? 1 : 0;
  return words <= kFewWords && text.size() <= kFewBytes;
}

}  // namespace

std::string search_question(const OrderedJson& messages) {
  std::vector<std::string> said;  // by the user, the last first
  for (auto message = messages.rbegin(); message != messages.rend() && said.size() < 2; ++message) {
    if (message->at("role") != "user") continue;
    std::string text = trimmed(message->at("content").get<std::string>());
    if (!text.empty()) said.push_back(end_of(text));
  }
  if (said.empty()) return "";
  return said.size() == 2 && is_short(said[0]) ? said[1] + "\n" + said[0] : said[0];
}

}  // namespace rotor::runtime::retrieval
