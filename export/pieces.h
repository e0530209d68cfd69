// What the exports have in common: a model's tensors are read by pieces of rows, some at once, and counted on
// the way.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "export/convert.h"

namespace rotor::exporting {

int64_t columns(const TensorSpec& spec);

/// The tensor before it is written.
ExportedTensor exported(const ModelSource& source, const TensorSpec& spec);

/// Reads the trits of a matrix and adds them to the counts of a tensor, from any thread.
class CountedTrits {
 public:
  CountedTrits(const ModelSource& source, const TensorSpec& spec, ExportedTensor& tensor)
      : source_(source), spec_(spec), tensor_(tensor) {}

  void read(int64_t first, int64_t rows, std::span<int8_t> trits);
  void read_tiles(int64_t first, int64_t rows, std::span<uint8_t> tiles);

 private:
  void add(const TritCounts& counts);

  const ModelSource& source_;
  const TensorSpec& spec_;
  ExportedTensor& tensor_;
  std::mutex mutex_;
};

/// Whether `type`, a float type, holds the number bit for bit.
bool holds(DType type, float value);

/// Removes from `types`, of which F32 is one, those that do not hold every value of a tensor. Reads the
/// tensor, at most once. Values count divided by `divisor`. Throws Error for one that is not finite.
void keep_exact_types(const ModelSource& source, const TensorSpec& spec, std::vector<DType>& types,
                      float divisor = 1.0F);

/// Rows of a float tensor, divided by `divisor`, as `type`. Throws Error for a value that is not finite or
/// becomes so.
void read_as(const ModelSource& source, const TensorSpec& spec, int64_t first, int64_t rows, DType type,
             std::vector<uint8_t>& bytes, float divisor = 1.0F);

/// Runs `write`; errors that do not name the source are said of it and of the tensor: what a writer finds
/// wrong lies in the source, which it does not know.
void naming_source(const ModelSource& source, const std::string& tensor, const std::function<void()>& write);

/// "float32", for people.
std::string type_text(DType type);

}  // namespace rotor::exporting
