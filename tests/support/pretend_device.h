// A device that is not one: computes on the CPU, so that results are equal bit for bit, but has a limited
// memory of its own, notices what was not brought there, and can be lost at any call.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/backends/backend.h"

namespace rotor::test {

class PretendDevice final : public runtime::Backend {
 public:
  struct Options {
    std::string name = "pretend";
    std::optional<uint64_t> memory;  ///< free at first; none: it computes in the machine's
    bool needs_weights_held = true;  ///< an op that is given others throws std::logic_error
  };
  /// What happened so far.
  struct Counts {
    int64_t calls = 0;  ///< that could have thrown DeviceLost
    int64_t uploads = 0;
    int64_t downloads = 0;
    uint64_t bytes = 0;       ///< that live now: tensors, caches, weights that are held
    uint64_t most_bytes = 0;  ///< that ever lived at once
  };

  explicit PretendDevice(Options options);
  ~PretendDevice() override;

  /// From the `call`th call on (0: the first), everything throws DeviceLost; none: nothing does.
  void lose_at(std::optional<int64_t> call) { lose_at_ = call; }
  /// That call throws a plain Error.
  void fail_at(int64_t call) { fail_at_ = call; }
  const Counts& counts() const { return *counts_; }

  std::string name() const override { return options_.name; }
  std::string kernels() const override { return "pretended"; }
  std::string device() const override { return "Pretend 3000"; }
  double measure_read_bandwidth() override { return 1e9; }
  std::optional<uint64_t> free_memory() const override;
  bool can_screen() const override { return true; }

  std::shared_ptr<void> hold(std::span<const runtime::WeightBytes> weights) override;
  runtime::Tensor allocate(int64_t rows, int64_t cols) override;
  void upload(std::span<const float> values, const runtime::Tensor& tensor) override;
  void download(const runtime::Tensor& tensor, std::span<float> values) override;
  void download_wanted(const runtime::Tensor& logits, const runtime::WantedLogits& wanted,
                       std::span<float> values) override;
  void embed(const DenseMatrix& table, std::span<const int32_t> ids, const runtime::Tensor& y) override;
  void copy_rows(const runtime::Tensor& x, std::span<const int64_t> rows, const runtime::Tensor& y) override;
  void linear(const runtime::Tensor& x, const runtime::InputNorm& norm,
              std::span<const runtime::Projection> projections) override;
  void gated_linear(const runtime::Tensor& gate, const runtime::Tensor& up, Activation kind,
                    const runtime::InputNorm& norm,
                    std::span<const runtime::Projection> projections) override;
  int64_t screened_head(const runtime::Tensor& x, const runtime::ScreenedHead& head,
                        const runtime::WantedLogits& wanted, const runtime::Tensor& y) override;
  void rms_norm(const runtime::Tensor& x, std::span<const float> gain, float eps,
                const runtime::Tensor& y) override;
  void activation(const runtime::Tensor& x, Activation kind, float threshold,
                  const runtime::Tensor& y) override;
  void gate(const runtime::Tensor& gate, const runtime::Tensor& up, Activation kind,
            const runtime::Tensor& y) override;
  void rope(const runtime::Tensor& x, int64_t head_dim, const RopeTable& table, int64_t position) override;
  runtime::KvCache allocate_kv_cache(const runtime::KvCache& shape) override;
  void append_kv(const runtime::KvCache& cache, int64_t layer, std::span<const runtime::TextRows> texts,
                 const RopeTable& rope, const runtime::Tensor& q, const runtime::Tensor& k,
                 const runtime::Tensor& v) override;
  void attention(const runtime::Tensor& q, const runtime::KvCache& cache, int64_t layer,
                 std::span<const runtime::TextRows> texts, const runtime::Tensor& y) override;

 private:
  struct Memory;  // what a Tensor's or KvCache's storage points to

  void count_call();
  std::shared_ptr<Memory> take(uint64_t bytes);
  void need(const void* data);
  void need(const runtime::InputNorm& norm, std::span<const runtime::Projection> projections);
  void need(const RopeTable& rope);
  const Memory& own(const std::shared_ptr<void>& storage) const;
  runtime::Tensor inner(const runtime::Tensor& tensor) const;
  runtime::KvCache inner(const runtime::KvCache& cache) const;
  std::vector<runtime::Projection> inner(std::span<const runtime::Projection> projections) const;

  Options options_;
  std::unique_ptr<runtime::Backend> cpu_;
  std::shared_ptr<Counts> counts_;
  std::shared_ptr<std::vector<std::span<const uint8_t>>> held_;
  std::optional<int64_t> lose_at_;
  std::optional<int64_t> fail_at_;
};

}  // namespace rotor::test
