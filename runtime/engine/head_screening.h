// Decides, token by token, whether the head is read whole or screened by its low-bit copy
// (core/screening.h). Either way whoever draws from the logits chooses the same token.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "runtime/backends/backend.h"
#include "runtime/model/transformer.h"

namespace rotor::runtime {

enum class HeadScreeningMode {
  off,
  on,         ///< wherever not all logits are wanted
  automatic,  ///< likewise, if the file holds a copy, and as long as it is faster
};

/// "off", "on", "auto". head_screening_from_name throws Error listing them.
const char* name(HeadScreeningMode mode);
HeadScreeningMode head_screening_from_name(const std::string& text);

class HeadScreening {
 public:
  /// `model` must outlive this object. Throws Error if the mode is `on` and the model holds no copy.
  HeadScreening(const Transformer& model, HeadScreeningMode mode);

  /// The wanted logits [1, vocab_size], or all of them, of hidden states [1, hidden_size].
  void compute(Backend& backend, const Tensor& hidden, const WantedLogits& wanted, const Tensor& logits);

  /// Times both ways again: another backend computes from now on.
  void measure_anew();

  /// What compute() did so far.
  struct Statistics {
    int64_t tokens = 0;
    int64_t attempts = 0;  ///< tokens for which the copy was read
    int64_t rows = 0;      ///< rows of the head that were read, over all tokens
  };
  const Statistics& statistics() const { return statistics_; }

 private:
  /// How long a way takes lately: the least of the last times, since whatever disturbs makes them longer.
  struct Pace {
    int64_t measured = 0;
    std::array<double, 4> last{};
    void add(double value);
    double seconds() const;
  };

  bool choose() const;

  const Transformer& model_;
  HeadScreeningMode mode_;
  Statistics statistics_;
  Pace screened_;
  Pace whole_;
  int64_t choices_ = 0;  // tokens for which there were two ways
};

}  // namespace rotor::runtime
