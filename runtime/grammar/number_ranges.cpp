// Digits from the left; a bound matters as long as all digits so far are its own.
#include "runtime/grammar/number_ranges.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/grammar/json_pieces.h"

namespace rotor::runtime::grammar {
namespace {

constexpr int64_t kFewMultiples = 1000;

bool is_negative(const NumberBound& bound) {
  return bound.value[0] == '-';
}

/// Whether `digits` from `at` on are all that a fraction lacks to be the bound: nothing, or zeros.
bool ends(const std::string& digits, size_t at) {
  return at >= digits.size();
}

}  // namespace

NumberRanges::Expression NumberRanges::digit(char first, char last) {
  ByteSet set;
  for (char c = first; c <= last; ++c) set.set(static_cast<size_t>(c));
  return builder_.byte(set);
}

NumberRanges::Expression NumberRanges::integers(int64_t min, int64_t max, int64_t multiple) {
  if (min > max) return GrammarBuilder::kNever;
  if (multiple > kLargestMultiple) {
    const int64_t first = min / multiple;
    std::vector<Expression> values;
    for (int64_t factor = first - 1; factor <= max / multiple + 1; ++factor) {
      if (factor > kLargestInteger / multiple) break;
      const int64_t value = factor * multiple;
      if (value < min || value > max) continue;
      if (std::cmp_greater(values.size(), kFewMultiples)) {
        fail("expected a number of at most ", kLargestMultiple, ", or a range with at most ", kFewMultiples,
             " multiples, found ", multiple);
      }
      values.push_back(builder_.literal(std::to_string(value)));
    }
    return builder_.choice(std::move(values));
  }
  const Expression positive =
      max < 0 ? GrammarBuilder::kNever : positive_integers(std::max<int64_t>(min, 0), max, multiple);
  const Expression negative =
      min >= 0 ? GrammarBuilder::kNever : positive_integers(std::max<int64_t>(-max, 1), -min, multiple);
  return builder_.choice({positive, builder_.sequence({builder_.literal("-"), negative})});
}

NumberRanges::Expression NumberRanges::positive_integers(int64_t min, int64_t max, int64_t multiple) {
  std::vector<Expression> lengths;
  int64_t first = 0;  // the smallest number of so many digits
  int64_t last = 9;   // the largest
  for (;;) {
    const int64_t low = std::max(min, first);
    const int64_t high = std::min(max, last);
    if (multiple == 1 && low == first && first > 0 && max >= kLargestInteger) {
      const int64_t count = std::ssize(std::to_string(low)) - 1;  // from here on, any number of digits
      lengths.push_back(
          builder_.sequence({digit('1', '9'), builder_.repeat(digit('0', '9'), count, kIntegerDigits - 1)}));
      break;
    }
    if (low <= high) {
      lengths.push_back(fixed_length(std::to_string(low), std::to_string(high), 0, true, true, 0, multiple));
    }
    if (last >= max || last >= kLargestInteger) break;
    first = last + 1;
    last = last * 10 + 9;
  }
  return builder_.choice(std::move(lengths));
}

NumberRanges::Expression NumberRanges::free_digits(size_t count, int64_t remainder, int64_t multiple) {
  if (multiple == 1) {
    return builder_.repeat(digit('0', '9'), static_cast<int64_t>(count), static_cast<int64_t>(count));
  }
  if (count == 0) return remainder == 0 ? GrammarBuilder::kNothing : GrammarBuilder::kNever;
  const auto key = std::pair(count, std::pair(remainder, multiple));
  if (const auto known = free_digits_.find(key); known != free_digits_.end()) return known->second;
  std::vector<Expression> alternatives;
  for (char c = '0'; c <= '9'; ++c) {
    const int64_t next = (remainder * 10 + (c - '0')) % multiple;
    alternatives.push_back(builder_.sequence({digit(c, c), free_digits(count - 1, next, multiple)}));
  }
  return free_digits_[key] = builder_.choice(std::move(alternatives));
}

NumberRanges::Expression NumberRanges::fixed_length(const std::string& min, const std::string& max, size_t at,
                                                    bool above_min, bool below_max, int64_t remainder,
                                                    int64_t multiple) {
  if (!above_min && !below_max) return free_digits(min.size() - at, remainder, multiple);
  if (at == min.size()) return remainder == 0 ? GrammarBuilder::kNothing : GrammarBuilder::kNever;
  const char low = above_min ? min[at] : '0';
  const char high = below_max ? max[at] : '9';
  std::vector<Expression> alternatives;
  for (char c = low; c <= high; ++c) {
    const bool at_min = above_min && c == low;
    const bool at_max = below_max && c == high;
    const int64_t next = (remainder * 10 + (c - '0')) % multiple;
    alternatives.push_back(
        builder_.sequence({digit(c, c), fixed_length(min, max, at + 1, at_min, at_max, next, multiple)}));
  }
  return builder_.choice(std::move(alternatives));
}

NumberRanges::Decimal NumberRanges::magnitude(const NumberBound& bound) {
  const std::string digits = bound.value.substr(is_negative(bound) ? 1 : 0);
  const size_t point = std::min(digits.find('.'), digits.size());
  std::string fraction = point < digits.size() ? digits.substr(point + 1) : "";
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (point + fraction.size() > kDecimalDigits) {
    fail("expected a number of at most ", kDecimalDigits, " digits, found ", bound.value);
  }
  return {std::stoll(digits.substr(0, point)), fraction, bound.exclusive};
}

NumberRanges::Expression NumberRanges::decimals(const std::optional<NumberBound>& min,
                                                const std::optional<NumberBound>& max,
                                                size_t fraction_digits) {
  const Decimal zero;
  const Decimal above_zero{.whole = 0, .fraction = "", .exclusive = true};
  std::optional<Decimal> low = min ? std::optional(magnitude(*min)) : std::nullopt;
  std::optional<Decimal> high = max ? std::optional(magnitude(*max)) : std::nullopt;
  const bool low_negative = min && is_negative(*min) && !low->is_zero();
  const bool high_negative = max && is_negative(*max) && !high->is_zero();
  Expression positive = GrammarBuilder::kNever;
  Expression negative = GrammarBuilder::kNever;
  if (!high_negative) {
    positive = positive_decimals(min && !low_negative ? *low : zero, high, fraction_digits);
  }
  if (!min || low_negative) {  // mirrored; zero is a positive number
    negative = positive_decimals(high_negative ? *high : above_zero, low, fraction_digits);
  }
  return builder_.choice({positive, builder_.sequence({builder_.literal("-"), negative})});
}

NumberRanges::Expression NumberRanges::positive_decimals(const Decimal& min,
                                                         const std::optional<Decimal>& max,
                                                         size_t fraction_digits) {
  const int64_t largest = max ? max->whole : kLargestInteger / 1000;
  if (min.whole > largest) return GrammarBuilder::kNever;
  const size_t whole_digits = std::to_string(max ? largest : min.whole).size();
  const size_t length = std::min(fraction_digits, kDecimalDigits - std::min(whole_digits, kDecimalDigits));
  const auto number = [&](int64_t whole, const Decimal* low, const Decimal* high) {
    return builder_.sequence({builder_.literal(std::to_string(whole)), fraction_part(low, high, length)});
  };
  if (max && min.whole == largest) return number(largest, &min, &*max);
  std::vector<Expression> alternatives = {number(min.whole, &min, nullptr)};
  const int64_t last_between = max ? largest - 1 : largest;
  if (min.whole + 1 <= last_between) {
    alternatives.push_back(builder_.sequence(
        {positive_integers(min.whole + 1, last_between, 1), fraction_part(nullptr, nullptr, length)}));
  }
  if (max) alternatives.push_back(number(largest, nullptr, &*max));
  return builder_.choice(std::move(alternatives));
}

/// Nothing, or a point and digits.
NumberRanges::Expression NumberRanges::fraction_part(const Decimal* min, const Decimal* max, size_t length) {
  const bool may_be_zero = (min == nullptr || (min->fraction.empty() && !min->exclusive)) &&
                           (max == nullptr || !max->fraction.empty() || !max->exclusive);
  const Expression none = may_be_zero ? GrammarBuilder::kNothing : GrammarBuilder::kNever;
  if (length == 0) return none;
  return builder_.choice({none, builder_.sequence({builder_.literal("."), fractions(min, max, 0, length)})});
}

/// The digits from `at` on, at most `length` in all; `min`, `max`: bounds that the digits so far are equal
/// to.
NumberRanges::Expression NumberRanges::fractions(const Decimal* min, const Decimal* max, size_t at,
                                                 size_t length) {
  if (min != nullptr && ends(min->fraction, at) && !min->exclusive) min = nullptr;
  if (min == nullptr && max == nullptr) {
    return builder_.repeat(digit('0', '9'), at == 0 ? 1 : 0, static_cast<int64_t>(length - at));
  }
  const bool may_end = at > 0 && min == nullptr && (!ends(max->fraction, at) || !max->exclusive);
  std::vector<Expression> alternatives = {may_end ? GrammarBuilder::kNothing : GrammarBuilder::kNever};
  if (at < length) {
    const char low = min == nullptr || ends(min->fraction, at) ? '0' : min->fraction[at];
    const char high = max == nullptr ? '9' : ends(max->fraction, at) ? '0' : max->fraction[at];
    for (char c = low; c <= high; ++c) {
      alternatives.push_back(builder_.sequence(
          {digit(c, c), fractions(min != nullptr && c == low ? min : nullptr,
                                  max != nullptr && c == high ? max : nullptr, at + 1, length)}));
    }
  }
  return builder_.choice(std::move(alternatives));
}

}  // namespace rotor::runtime::grammar
