// Numbers between bounds, exactly, digit by digit: a range of integers, perhaps of multiples, and a range of
// decimal fractions.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "runtime/grammar/grammar_builder.h"

namespace rotor::runtime::grammar {

/// An end of a range. `value` is written out in decimal: "-12.5".
struct NumberBound {
  std::string value;
  bool exclusive = false;
};

class NumberRanges {
 public:
  using Expression = GrammarBuilder::Expression;
  /// `builder` must outlive this object.
  explicit NumberRanges(GrammarBuilder& builder) : builder_(builder) {}

  static constexpr int64_t kLargestInteger = 999'999'999'999'999'999;
  static constexpr int64_t kLargestMultiple = 200;
  /// Digits of bounds and of what is drawn close to them: so many are always kept apart by a double.
  static constexpr size_t kDecimalDigits = 15;

  /// Multiples of `multiple`, at least 1, from min to max, both included and at most kLargestInteger in size.
  /// Throws Error if `multiple` is above kLargestMultiple and there are many in the range.
  Expression integers(int64_t min, int64_t max, int64_t multiple);

  /// Decimal numbers between bounds, with at most `fraction_digits` behind the point. Throws Error if a bound
  /// has more than kDecimalDigits digits.
  Expression decimals(const std::optional<NumberBound>& min, const std::optional<NumberBound>& max,
                      size_t fraction_digits);

 private:
  Expression positive_integers(int64_t min, int64_t max, int64_t multiple);
  Expression fixed_length(const std::string& min, const std::string& max, size_t at, bool above_min,
                          bool below_max, int64_t remainder, int64_t multiple);
  Expression free_digits(size_t count, int64_t remainder, int64_t multiple);

  struct Decimal {
    int64_t whole = 0;
    std::string fraction;  // without zeros at its end
    bool exclusive = false;
    bool is_zero() const { return whole == 0 && fraction.empty(); }
  };
  static Decimal magnitude(const NumberBound& bound);
  Expression positive_decimals(const Decimal& min, const std::optional<Decimal>& max, size_t fraction_digits);
  Expression fractions(const Decimal* min, const Decimal* max, size_t at, size_t length);
  Expression fraction_part(const Decimal* min, const Decimal* max, size_t length);
  Expression digit(char first, char last);

  GrammarBuilder& builder_;
  std::map<std::pair<size_t, std::pair<int64_t, int64_t>>, Expression> free_digits_;
};

}  // namespace rotor::runtime::grammar
