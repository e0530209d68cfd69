#include "runtime/retrieval/relevance.h"

#include <algorithm>
#include <set>
#include <string>

namespace rotor::runtime::retrieval {
namespace {

bool is_word_part(char c) {
  return static_cast<unsigned char>(c) >= 0x80 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z');
}

std::set<std::string> words_of(std::string_view text) {
  std::set<std::string> words;
  while (!text.empty()) {
    const auto begin = std::ranges::find_if(text, is_word_part);
    const auto end = std::find_if_not(begin, text.end(), is_word_part);
    std::string word(begin, end);
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if (!word.empty()) words.insert(std::move(word));
    text.remove_prefix(static_cast<size_t>(end - text.begin()));
  }
  return words;
}

bool is_same(const std::string& a, const std::string& b) {
  constexpr size_t kEnding = 3;
  constexpr size_t kLeastStem = 4;
  if (a == b) return true;
  const size_t longer = std::max(a.size(), b.size());
  const size_t stem = std::max(kLeastStem, longer - std::min(longer, kEnding));
  return std::min(a.size(), b.size()) >= stem && a.compare(0, stem, b, 0, stem) == 0;
}

}  // namespace

double share_of_words(std::string_view question, std::string_view text) {
  const std::set<std::string> there = words_of(text);
  double all = 0.0;
  double found = 0.0;
  for (const std::string& word : words_of(question)) {
    const auto weight = static_cast<double>(word.size() * word.size());
    all += weight;
    if (std::ranges::any_of(there, [&](const std::string& other) { return is_same(word, other); }))
      found += weight;
  }
  return all > 0.0 ? found / all : 0.0;
}

}  // namespace rotor::runtime::retrieval
