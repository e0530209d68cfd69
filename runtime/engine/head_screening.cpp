// In automatic mode both ways are timed, and the slower one is tried again now and then.
#include "runtime/engine/head_screening.h"

#include <algorithm>
#include <chrono>

#include "rotor/core/error.h"

namespace rotor::runtime {
namespace {

constexpr int64_t kTrials = 2;            // of each way at first; the first of them only warms up
constexpr int64_t kTokensPerTrial = 256;  // and then of the slower one

}  // namespace

const char* name(HeadScreeningMode mode) {
  return mode == HeadScreeningMode::off ? "off" : mode == HeadScreeningMode::on ? "on" : "auto";
}

HeadScreeningMode head_screening_from_name(const std::string& text) {
  for (const auto mode : {HeadScreeningMode::off, HeadScreeningMode::on, HeadScreeningMode::automatic}) {
    if (text == name(mode)) return mode;
  }
  fail("expected on | off | auto, found \"", text, "\"");
}

HeadScreening::HeadScreening(const Transformer& model, HeadScreeningMode mode) : model_(model), mode_(mode) {
  if (mode == HeadScreeningMode::on && !model.can_screen()) {
    fail(
        "head screening: the model file holds no copy of its head to screen it by; `rotor-export --head q8 "
        "--head-screening on` writes one, unless the head is ternary");
  }
  if (!model.can_screen()) mode_ = HeadScreeningMode::off;
}

void HeadScreening::Pace::add(double value) {
  last[static_cast<size_t>(measured++) % last.size()] = value;
}

double HeadScreening::Pace::seconds() const {
  const auto count = std::min<int64_t>(measured, std::ssize(last));
  return *std::min_element(last.begin(), last.begin() + count);
}

bool HeadScreening::choose() const {
  if (mode_ != HeadScreeningMode::automatic) return mode_ == HeadScreeningMode::on;
  if (screened_.measured < kTrials || whole_.measured < kTrials) {
    return screened_.measured <= whole_.measured;
  }
  const bool faster = screened_.seconds() < whole_.seconds();
  return choices_ % kTokensPerTrial == 0 ? !faster : faster;
}

void HeadScreening::measure_anew() {
  screened_ = {};
  whole_ = {};
}

void HeadScreening::compute(Backend& backend, const Tensor& hidden, const WantedLogits& wanted,
                            const Tensor& logits) {
  const int64_t all = model_.config().transformer.vocab_size;
  if (mode_ == HeadScreeningMode::off || wanted.count == 0 || !backend.can_screen()) {
    model_.head(backend, hidden, logits);
    ++statistics_.tokens;
    statistics_.rows += all;
    return;
  }
  ++choices_;
  const auto start = std::chrono::steady_clock::now();
  const bool screen = choose();
  const int64_t rows = screen ? model_.screened_head(backend, hidden, wanted, logits) : 0;
  if (rows == 0) model_.head(backend, hidden, logits);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  (screen ? screened_ : whole_).add(seconds);
  ++statistics_.tokens;
  statistics_.attempts += screen ? 1 : 0;
  statistics_.rows += rows > 0 ? rows : all;
}

}  // namespace rotor::runtime
