// The ops that models are written on: each checks its shapes and hands over to the backend. A wrong shape
// here is a bug in a model, not bad input, so it aborts.
#pragma once

#include "runtime/backends/backend.h"

namespace rotor::runtime::ops {

/// Each y = linear(norm(x)); x [B, weights.cols], y [B, weights.rows]. Layers that share an input are given
/// together, so that it is normalised and quantized once.
void linear(Backend& backend, const Tensor& x, const InputNorm& norm,
            std::span<const Projection> projections);
/// y = linear(x).
void linear(Backend& backend, const Tensor& x, const LinearWeights& weights, const Tensor& y);

/// Each y = linear(norm(kind(gate) * up)); gate and up [B, weights.cols], gate is unspecified afterwards.
void gated_linear(Backend& backend, const Tensor& gate, const Tensor& up, Activation kind,
                  const InputNorm& norm, std::span<const Projection> projections);

/// The wanted logits of a token into y [1, weights.rows]; x [1, weights.cols]. Returns how many rows were
/// read, 0 if the head is to be read whole (Backend::screened_head).
int64_t screened_head(Backend& backend, const Tensor& x, const ScreenedHead& head, const WantedLogits& wanted,
                      const Tensor& y);

/// y = rms_norm(x) * gain; x and y [B, D], gain [D]. In place if y is x.
void rms_norm(Backend& backend, const Tensor& x, std::span<const float> gain, float eps, const Tensor& y);

/// y = activation(x), element by element; x and y [B, D]; `threshold` is for sign. In place if y is x.
void activation(Backend& backend, const Tensor& x, Activation kind, float threshold, const Tensor& y);

/// y = gate(gate) * up; all [B, D]. In place if y is gate or up.
void gate(Backend& backend, const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y);

/// y [ids, D] = rows of the table [V, D]; ids are below V.
void embed(Backend& backend, const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y);

/// y [rows, D] = these rows of x.
void copy_rows(Backend& backend, const Tensor& x, std::span<const int64_t> rows, const Tensor& y);

/// Rotates the heads of x [T, H * head_dim] in place; the table reaches to position + T.
void rope(Backend& backend, const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position);

/// Attends with q [T, H * head_dim], the rows of `texts`, over the cache, to which k and v [T, K * head_dim]
/// are added first. q and k are rotated before (rope()); what is in them afterwards is unspecified. y [T, H *
/// head_dim].
void attention(Backend& backend, const Tensor& q, const Tensor& k, const Tensor& v, const RopeTable& rope,
               const KvCache& cache, int64_t layer, std::span<const TextRows> texts, const Tensor& y);

}  // namespace rotor::runtime::ops
