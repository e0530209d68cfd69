// How well a text fits a question where there are no vectors to compare, on a scale that is the same for all
// questions; BM25 has no such scale.
#pragma once

#include <string_view>

namespace rotor::runtime::retrieval {

/// The share of the question's words that `text` has, 0 to 1, each word weighing the square of its length: in
/// most languages the words that say little are short. Words are runs of letters and digits, ASCII's without
/// regard to case; two are the same if they begin with the same letters, all but the last three and at least
/// four ("stars" and "star"). 0 if the question has no words.
double share_of_words(std::string_view question, std::string_view text);

}  // namespace rotor::runtime::retrieval
