// Shape checks in front of the backends.
#include "runtime/ops/ops.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace rotor::runtime::ops {
namespace {

void require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "rotor: broken invariant: %s\n", what);
  std::abort();
}

bool same_shape(const Tensor& a, const Tensor& b) {
  return a.rows == b.rows && a.cols == b.cols;
}

}  // namespace

void linear(Backend& backend, const Tensor& x, const LinearWeights& weights, const Tensor& y) {
  require(x.cols == weights.cols && y.cols == weights.rows && x.rows == y.rows,
          "linear: shapes of x, weights and y");
  require(weights.bias.empty() || std::cmp_equal(weights.bias.size(), weights.rows), "linear: shape of bias");
  backend.linear(x, weights, y);
}

void rms_norm(Backend& backend, const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) {
  require(same_shape(x, y) && std::cmp_equal(gain.size(), x.cols), "rms_norm: shapes of x, gain and y");
  backend.rms_norm(x, gain, eps, y);
}

void activation(Backend& backend, const Tensor& x, Activation kind, float threshold, const Tensor& y) {
  require(same_shape(x, y), "activation: shapes of x and y");
  backend.activation(x, kind, threshold, y);
}

}  // namespace rotor::runtime::ops
