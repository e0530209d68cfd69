// Prompts of load tests.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace rotor::load {

/// A number and `count` words: hardly ever the beginning of another text.
inline std::string some_words(std::mt19937_64& random, int64_t count) {
  static const char* const kWords[] = {"the",  "king", "said",  "to",  "river", "and",   "morning", "was",
                                       "cold", "a",    "house", "old", "where", "night", "of",      "light"};
  std::string text = std::to_string(random() % 1000000);
  for (int64_t i = 0; i < count; ++i) text += std::string(" ") + kWords[random() % std::size(kWords)];
  return text;
}

}  // namespace rotor::load
