// safetensors: an 8-byte little-endian header length, a JSON header, then the tensors' bytes without a hole.
// The reader maps the file and checks the whole header before anything is used; it promises no alignment,
// since foreign files have none. The writer streams tensors in the order they were declared and appears under
// its name only when whole. Format: huggingface/safetensors, README "Format".
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rotor/formats/atomic_file.h"
#include "rotor/formats/dtype.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"

namespace rotor {

/// Name, type and shape of a tensor to be written.
struct TensorDeclaration {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;

  /// Bytes of its data. Throws Error if that overflows.
  size_t bytes() const;
};

/// A tensor in a file.
struct TensorInfo : TensorDeclaration {
  size_t begin = 0;  ///< from the start of the data
  size_t end = 0;
};

using Metadata = std::map<std::string, std::string>;

/// "[2, 3]".
std::string shape_text(const std::vector<int64_t>& shape);

class SafetensorsFile {
 public:
  /// Called when the metadata are read and before anything else is looked at: a format on top of safetensors
  /// refuses files of a newer version here.
  using CheckMetadata = std::function<void(const SafetensorsFile&)>;

  /// Throws Error naming file, tensor, expected and found. Reads no tensor data.
  explicit SafetensorsFile(const std::string& path, const CheckMetadata& check_metadata = {},
                           FileMemory memory = {});

  const std::string& path() const { return file_.path(); }
  const Metadata& metadata() const { return metadata_; }
  /// Sorted by place in the file.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  /// nullptr if there is none of that name.
  const TensorInfo* find(const std::string& name) const;
  /// Throws Error if there is none of that name.
  const TensorInfo& at(const std::string& name) const;

  /// The tensor's bytes where they lie, valid while this object lives.
  std::span<const uint8_t> bytes(const TensorInfo& tensor) const;
  /// A copy with type T, whose width must be the dtype's. Throws Error for another dtype.
  template <class T>
  std::vector<T> read(const std::string& name) const;
  /// A copy as float32, from F32, F16 or BF16. Throws Error for another dtype.
  std::vector<float> read_as_float(const TensorInfo& tensor) const;
  /// Elements from `first` on, as many as `values` has.
  void read_as_float(const TensorInfo& tensor, size_t first, std::span<float> values) const;

  /// Header length field and header: the file's first bytes.
  std::span<const uint8_t> header() const { return file_.bytes().first(data_offset_); }
  /// Where the data starts in the file.
  size_t data_offset() const { return data_offset_; }
  size_t file_bytes() const { return file_.bytes().size(); }
  void check_intact() const { file_.check_intact(); }

 private:
  void parse_header(const CheckMetadata& check_metadata);
  void parse_metadata(const Json& entry);

  MappedFile file_;
  size_t data_offset_ = 0;
  Metadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t> by_name_;
};

class SafetensorsWriter {
 public:
  /// The header is padded with spaces so that the data start at a multiple of `data_multiple` bytes.
  /// Throws Error for a name that is declared twice.
  SafetensorsWriter(const std::string& path, Metadata metadata, std::vector<TensorDeclaration> tensors,
                    size_t data_multiple = 8);

  /// Appends data of the tensors, in declared order; pieces may be of any size.
  void write(std::span<const uint8_t> bytes);
  /// Replaces a metadata value by another of the same length (a checksum that is known only now).
  void set_metadata(const std::string& key, const std::string& value);
  /// The header as it stands.
  std::string header() const;
  /// Writes the header and renames the file into place. Throws Error unless all tensors were written to their
  /// last byte.
  void commit();

 private:
  AtomicFile file_;
  Metadata metadata_;
  std::vector<TensorDeclaration> tensors_;
  size_t data_multiple_;
  size_t data_offset_ = 0;
  size_t expected_bytes_ = 0;
  size_t written_bytes_ = 0;
};

}  // namespace rotor
