// What a device must be able to do: hold activations and compute the ops of a forward pass. One folder a
// backend, registered on one line in registry.cpp. Shapes are checked by runtime/ops before they get here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/core/model_config.h"
#include "rotor/core/rope.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::runtime {

/// Float32 activations [rows, cols], row-major, in a backend's memory. Copies share the memory.
struct Tensor {
  int64_t rows = 0;
  int64_t cols = 0;
  std::shared_ptr<void> storage;  ///< what it is, only the backend knows
};

/// Weights of a linear layer, used where they lie in the model file: planes and a scale, or a dense matrix.
struct LinearWeights {
  int64_t rows = 0;             ///< outputs
  int64_t cols = 0;             ///< inputs
  TernaryMatrix ternary;        ///< no tiles if the layer is dense
  DenseMatrix dense;            ///< no data if it is ternary
  std::span<const float> bias;  ///< empty, or [rows]
  /// What the input of a ternary layer becomes; none: it stays float, which is slow and only for comparisons.
  ActivationQuantization activation_quantization = ActivationQuantization::none;
  float ternary_threshold = 0.0F;  ///< of ActivationQuantization::ternary_threshold

  bool is_ternary() const { return !ternary.tiles.empty(); }
};

/// What is done to the input of linear layers before they quantize it: an RMSNorm, or nothing.
struct InputNorm {
  std::span<const float> gain;  ///< empty: nothing; else [cols]
  float eps = 0.0F;
};

/// A linear layer and where its output goes.
struct Projection {
  const LinearWeights* weights = nullptr;
  Tensor y;
  bool add = false;     ///< y += instead of y =
  float factor = 1.0F;  ///< of the product, before a bias is added; 1 for layers that are not dense
};

/// A dense head in int8 with the low-bit copy that tells which of its rows are worth reading.
struct ScreenedHead {
  const LinearWeights* weights = nullptr;
  HeadScreen screen;
};

/// The logits that whoever draws from them must have.
struct WantedLogits {
  int64_t count = 0;             ///< the `count` largest of ids below `limit`; 0: all logits
  std::span<const int32_t> ids;  ///< and these
  int64_t limit = 0;
};

/// Keys and values of the tokens so far, in a backend's memory: pages of tokens, which texts share out among
/// themselves. Copies share the memory.
using KvType = DenseType;
struct KvCache {
  int64_t layers = 0;
  int64_t heads = 0;        ///< key/value heads
  int64_t pages = 1;        ///< if there are more than one,
  int64_t page_tokens = 0;  ///< this is a power of two
  int64_t head_dim = 0;
  KvType type = KvType::f32;
  std::shared_ptr<void> storage;  ///< what it is, only the backend knows
};

/// Consecutive tokens of a text, which are consecutive rows of a batch, and where its keys and values lie.
struct TextRows {
  int64_t rows = 0;
  int64_t position = 0;            ///< of the first of them in the text
  std::span<const int32_t> pages;  ///< [i]: page of the cache with tokens i * page_tokens and on; as many as
                                   ///< there are tokens for
};

/// Bytes of a model that ops will be given, and where they may be cut: at multiples of `unit` bytes.
struct WeightBytes {
  std::span<const uint8_t> bytes;
  size_t unit = 1;
};

/// Thrown when a device is gone, by every call from then on: what it held is lost.
class DeviceLost : public Error {
 public:
  using Error::Error;
};

/// What a device was given to do: lists of commands, and commands in them.
struct Launches {
  uint64_t submissions = 0;
  uint64_t commands = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  /// "cpu", "vulkan".
  virtual std::string name() const = 0;
  /// Name of the kernels in use, e.g. "avx2"; of a GPU, how they multiply int8: "dot product" or "plain".
  virtual std::string kernels() const = 0;
  /// Name of the device that computes; empty: the machine's processor.
  virtual std::string device() const { return ""; }
  /// How many threads compute an op together.
  virtual int64_t threads() const { return 1; }

  /// Bytes a second that a plain reader of at least 1 GiB of this backend's memory gets now, with its
  /// threads. Throws Error if there is no room for that.
  virtual double measure_read_bandwidth() = 0;

  /// What was launched so far; nothing on a backend that launches nothing.
  virtual Launches launches() const { return {}; }

  /// Bytes of the device's own memory that are free for weights, caches and activations; none if it computes
  /// in the machine's.
  virtual std::optional<uint64_t> free_memory() const { return std::nullopt; }
  /// Keeps weights in the device's memory for as long as the result lives, so that ops need not bring them
  /// there each time. They may not change or go meanwhile. Throws Error if there is no room for them.
  virtual std::shared_ptr<void> hold(std::span<const WeightBytes> weights) {
    (void)weights;
    return nullptr;
  }

  /// Memory for [rows, cols] floats, unspecified at first; it lives as long as a copy of the Tensor does.
  /// Throws Error or std::bad_alloc if there is none. A Tensor belongs to the backend that made it.
  virtual Tensor allocate(int64_t rows, int64_t cols) = 0;
  /// Copies rows * cols values, row-major, to and from the tensor; both return when the copy is done.
  virtual void upload(std::span<const float> values, const Tensor& tensor) = 0;
  virtual void download(const Tensor& tensor, std::span<float> values) = 0;
  /// The wanted ones of logits [1, n]: true values there, -inf or true values elsewhere.
  virtual void download_wanted(const Tensor& logits, const WantedLogits& wanted, std::span<float> values) {
    (void)wanted;
    download(logits, values);
  }

  /// y[i] = row ids[i] of `table`; y [ids, D].
  virtual void embed(const DenseMatrix& table, std::span<const int32_t> ids, const Tensor& y) = 0;
  /// y[i] = row rows[i] of x; as many as y has. y is not x.
  virtual void copy_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& y) = 0;
  /// Linear layers of one input, all ternary with the same activation quantization or all dense:
  /// y[b, r] = sum_c weight[r, c] * quantized(norm(x)[b, c]) + bias[r]; x [B, cols], y [B, rows].
  /// Ternary by int8: y = sum * (weight_scale / x_scale) (SPECS.md section 1); ternary by ternary: y = sum *
  /// weight_scale. Dense: y = sum * factor. No y is x, but for added ones.
  virtual void linear(const Tensor& x, const InputNorm& norm, std::span<const Projection> projections) = 0;
  /// linear() of kind(gate) * up (see gate()). `gate` is unspecified afterwards.
  virtual void gated_linear(const Tensor& gate, const Tensor& up, Activation kind, const InputNorm& norm,
                            std::span<const Projection> projections) {
    this->gate(gate, up, kind, gate);
    linear(gate, norm, projections);
  }
  /// Whether screened_head() may ever read less than the whole head.
  virtual bool can_screen() const { return false; }
  /// Logits of one token, x [1, cols], y [1, rows]: those that are wanted, as linear() computes them, and
  /// -inf or the true logit elsewhere. Returns how many rows were read; 0 if reading the whole head is no
  /// slower or this backend cannot do it: y is unspecified then. `wanted.count` is above 0. That a given one
  /// of the largest is not among them has a probability of less than 1e-6 (core/screening.h).
  virtual int64_t screened_head(const Tensor& x, const ScreenedHead& head, const WantedLogits& wanted,
                                const Tensor& y) {
    (void)x, (void)head, (void)wanted, (void)y;
    return 0;
  }
  /// y = x / sqrt(mean(x^2) + eps) * gain, per row; gain [cols]. y may be x.
  virtual void rms_norm(const Tensor& x, std::span<const float> gain, float eps, const Tensor& y) = 0;
  /// relu: y = max(x, 0); relu2: its square; sign: +1 where x > threshold, -1 where x < -threshold, else 0. y
  /// may be x.
  virtual void activation(const Tensor& x, Activation kind, float threshold, const Tensor& y) = 0;
  /// y = kind(gate) * up, element by element; silu: x / (1 + exp(-x)). y may be gate or up.
  virtual void gate(const Tensor& gate, const Tensor& up, Activation kind, const Tensor& y) = 0;

  /// Rotates, in place, each head of x [T, heads * head_dim] by its token's position, `position` for row 0
  /// (core/rope.h).
  virtual void rope(const Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) = 0;
  /// Memory for a KvCache of that shape, which is given without storage.
  virtual KvCache allocate_kv_cache(const KvCache& shape) = 0;
  /// Rotates q [T, query heads * head_dim] in place and k as rope() does, and keeps k and v [T, heads *
  /// head_dim] of `layer` for the tokens of `texts`, which are the T rows in order. `k` is unspecified
  /// afterwards.
  virtual void append_kv(const KvCache& cache, int64_t layer, std::span<const TextRows> texts,
                         const RopeTable& rope, const Tensor& q, const Tensor& k, const Tensor& v) = 0;
  /// Causal attention of q [T, query heads * head_dim], the rows of `texts`, each over the tokens of its text
  /// in the cache up to itself; query head j uses key/value head j / (query heads / cache.heads); scores are
  /// scaled by 1/sqrt(head_dim). y like q.
  virtual void attention(const Tensor& q, const KvCache& cache, int64_t layer,
                         std::span<const TextRows> texts, const Tensor& y) = 0;
};

/// The names of all registered backends, in order of preference.
std::vector<std::string> backend_names();

/// The backend named by `name`, or by ROTOR_BACKEND if `name` is empty; empty or "auto": a discrete GPU, if
/// one computes rightly here, else the CPU. `threads`: how many compute an op together, on a backend that has
/// threads; 0: one a core; `pin` binds each to a core of its own. `device`: number or part of the name of one
/// of the backend's devices, if it has several; empty: the best one. A device that computes wrongly is left
/// for the CPU, which is said on stderr. Throws Error listing the names if there is none of that name, or
/// saying why it cannot run.
std::unique_ptr<Backend> make_backend(const std::string& name = "", int64_t threads = 1, bool pin = false,
                                      const std::string& device = "");

}  // namespace rotor::runtime
