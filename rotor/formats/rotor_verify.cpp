// Reads every byte of a .rotor file and says what is wrong with it.
#include <algorithm>
#include <cmath>

#include "rotor/core/error.h"
#include "rotor/core/tiles.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/rotor_file.h"

namespace rotor {
namespace {

/// Messages up to a limit.
class Faults {
 public:
  explicit Faults(size_t limit) : limit_(limit) {}

  bool full() const { return messages_.size() >= limit_; }
  size_t left() const { return limit_ - messages_.size(); }
  template <class... Args>
  void add(const Args&... args) {
    if (!full()) messages_.push_back(cat(args...));
  }
  std::vector<std::string> take() { return std::move(messages_); }

 private:
  size_t limit_;
  std::vector<std::string> messages_;
};

void verify_planes(const RotorFile& file, const std::string& name, const std::vector<int64_t>& shape,
                   Faults& faults) {
  const auto tiles = file.container().bytes(file.container().at(name));
  const auto rows = static_cast<size_t>(shape[0]);
  const auto cols = static_cast<size_t>(shape[1]);
  for (const PlaneFault& fault : find_plane_faults(tiles, rows, cols, faults.left())) {
    faults.add(file.path(), ": tensor \"", name, "\": row ", fault.row, ", column ", fault.column, ": ",
               fault.kind == PlaneFault::Kind::both_bits ? "the pair (1,1), which no weight has"
                                                         : "a set bit outside the matrix");
  }
}

void verify_floats(const RotorFile& file, const TensorInfo& tensor, Faults& faults) {
  const auto values = file.floats(tensor.name);
  const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (bad != values.end()) {
    faults.add(file.path(), ": tensor \"", tensor.name, "\": value ", bad - values.begin(),
               ": expected a finite number, found ", *bad);
  }
}

void verify_halves(const RotorFile& file, const TensorInfo& tensor, Faults& faults) {
  const auto bytes = file.container().bytes(tensor);
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) {
    if ((bytes[i + 1] & 0x7C) != 0x7C) continue;  // exponent bits all 1: infinite or NaN
    faults.add(file.path(), ": tensor \"", tensor.name, "\": value ", i / 2, ": expected a finite number");
    return;
  }
}

}  // namespace

std::vector<std::string> RotorFile::verify(size_t limit) const {
  if (limit == 0) fail("verify: expected a limit of at least 1 fault, found 0");
  Faults faults(limit);
  // What the bytes mean comes first: a sentinel says more than the checksum that it breaks too.
  for (const auto& [name, shape] : ternary_shapes_) {
    if (!faults.full()) verify_planes(*this, name, shape, faults);
  }
  for (const TensorSpec& spec : tensor_table(config_)) {
    if (!is_ternary(config_, spec)) continue;
    const float scale = floats(scale_name(spec.name))[0];
    if (!(scale > 0.0F)) {
      faults.add(path(), ": tensor \"", scale_name(spec.name), "\": expected a number above 0, found ",
                 scale);
    }
  }
  if (dense_.screening) {
    const std::string name = screen_name(head_name(config_.transformer));
    for (const char* suffix : {"_scale", "_error", "_spread"}) {
      const auto values = floats(name + suffix);
      const auto bad = std::find_if(values.begin(), values.end(), [](float v) { return v < 0.0F; });
      if (bad == values.end()) continue;
      faults.add(path(), ": tensor \"", name, suffix, "\": value ", bad - values.begin(),
                 ": expected a number of at least 0, found ", *bad);
    }
  }
  for (const std::string& fault : find_tokenizer_faults(container_, faults.left())) faults.add(fault);
  for (const TensorInfo& tensor : container_.tensors()) {
    if (tensor.dtype == DType::f32) verify_floats(*this, tensor, faults);
    if (tensor.dtype == DType::f16) verify_halves(*this, tensor, faults);
    const auto bytes = container_.bytes(tensor);
    const bool padding = tensor.name.starts_with(kPaddingPrefix);
    if (padding && std::any_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b != 0; })) {
      faults.add(path(), ": padding tensor \"", tensor.name, "\": expected zeros");
    }
    const std::string& expected = metadata(rotor_key::kChecksumPrefix + tensor.name);
    if (const std::string found = checksum(bytes); found != expected) {
      faults.add(path(), ": tensor \"", tensor.name, "\": checksum: expected ", expected, ", found ", found,
                 ": the file is damaged");
    }
  }
  check_intact();
  return faults.take();
}

void RotorFile::check() const {
  const auto faults = verify(1);
  if (!faults.empty()) throw Error(faults.front());
}

}  // namespace rotor
