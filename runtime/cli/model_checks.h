// What `rotor doctor` asks of a backend with a model: the reference's logits, and its text.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "runtime/engine/session.h"

namespace rotor::runtime::cli {

/// How near to the reference a processor must come.
enum class Nearness {
  equal,    ///< bit for bit: kernels of ours
  rounding  ///< up to what another order of sums does to floats, and to the int8 codes of activations
};

using MakeSession = std::function<Session(const SessionOptions& options)>;

/// A model with odd widths, so that every edge of a tile is met, and a head in int8 with a copy to screen it
/// by, which the golden model has not. In a file that goes when this object does.
class OddModel {
 public:
  OddModel();
  ~OddModel();
  OddModel(const OddModel&) = delete;
  OddModel& operator=(const OddModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// Logits behind a prompt fed at once and one more token, which go on with those of a screened head if the
/// model can do that.
std::vector<float> logits_of(const Transformer& model, const MakeSession& make_session);

/// Whether logits [rows, vocab_size] are those of the reference. What was not wanted may be -inf where sums
/// round.
bool agree(std::span<const float> found, std::span<const float> expected, size_t vocab_size,
           Nearness nearness);

/// Whether the model inside the program goes on as transformers does (golden_model/golden_model.h), each best
/// token as far above the second as there.
bool continues_as_golden(const MakeSession& make_session, Nearness nearness);

}  // namespace rotor::runtime::cli
