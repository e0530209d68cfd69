// The trainable parameters of a module and their gradients in two flat tensors of the same layout: ranges of
// one are what ranks exchange, without copies.
#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rotor::train {

class FlatParameters {
 public:
  struct Entry {
    std::string name;
    torch::Tensor parameter;
    int64_t first = 0;  ///< element of the flat tensors
    int64_t count = 0;
    torch::Tensor gradient;  ///< of the parameter's shape, in the flat tensor
    int64_t end() const { return first + count; }
  };

  /// Moves the parameters of `module` that are trained into one float32 tensor, the last one first, since
  /// that is about the order in which a backward pass finishes their gradients.
  explicit FlatParameters(torch::nn::Module& module);

  const std::vector<Entry>& entries() const { return entries_; }
  const torch::Tensor& values() const { return values_; }        ///< [size()]
  const torch::Tensor& gradients() const { return gradients_; }  ///< [size()]
  int64_t size() const { return values_.numel(); }

  /// Of the flat tensors, what the range [first, end) has in common with an entry: first and end; nothing if
  /// that is nothing.
  static std::optional<std::pair<int64_t, int64_t>> common(const Entry& entry,
                                                           std::pair<int64_t, int64_t> range);

 private:
  std::vector<Entry> entries_;
  torch::Tensor values_;
  torch::Tensor gradients_;
};

}  // namespace rotor::train
