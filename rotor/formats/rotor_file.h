// A .rotor file: one self-contained model in a safetensors container (docs/file-format.md). Ternary matrices
// are tiles of bit-planes that kernels use where they lie in the mapping; nothing is converted at load.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "rotor/core/dense.h"
#include "rotor/core/model_config.h"
#include "rotor/core/screening.h"
#include "rotor/core/tensor_table.h"
#include "rotor/formats/attachments.h"
#include "rotor/formats/checksum.h"
#include "rotor/formats/safetensors.h"

namespace rotor {

/// The newest format version. A reader refuses files of a newer one than it knows; a change that an old
/// reader would misread takes the next number, additions that it may ignore do not. Files are written with
/// the lowest version that has what they hold (text_format_version()).
inline constexpr int kRotorFormatVersion = 2;
inline constexpr size_t kRotorDataMultiple = 4096;
inline constexpr size_t kRotorTensorAlignment = 256;

/// Metadata keys.
namespace rotor_key {
inline constexpr const char* kFormatVersion = "rotor.format_version";
inline constexpr const char* kConfig = "rotor.config";
inline constexpr const char* kActivationQuantization = "rotor.activation_quantization";
inline constexpr const char* kScaleMeaning = "rotor.scale_meaning";
inline constexpr const char* kHeaderChecksum = "rotor.header_checksum";
inline constexpr const char* kProducer = "rotor.producer";
inline constexpr const char* kChecksumPrefix = "rotor.checksum.";  // + tensor name
inline constexpr const char* kShapePrefix = "rotor.shape.";  // + name of a tensor of planes: "[rows, cols]"
}  // namespace rotor_key

/// Tensors whose names start so fill gaps: U8, zeros, not part of the model.
inline constexpr const char* kPaddingPrefix = "rotor.padding.";

/// A ternary matrix in a file: weight [r, c] = (plus - minus) * scale.
struct TernaryMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  float scale = 0.0F;
  std::span<const uint8_t> tiles;  // tile_bytes(rows, cols) bytes, aligned to 64
};

/// A dense matrix in a file (embedding, head, linear layer of an encoder), [rows, cols], row-major.
struct DenseMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  DenseType type = DenseType::f32;
  const uint8_t* data = nullptr;      // aligned to 64
  std::span<const float> row_scales;  // of q8: [rows]
};

/// How a file keeps embeddings, a dense head, and the linear layers of an encoder.
struct DenseFormat {
  DenseType type = DenseType::f32;
  DenseType layers = DenseType::f32;  ///< the matrices of an encoder's linear layers
  bool screening = false;             ///< a head in int8 has a low-bit copy beside it (core/screening.h)

  DenseFormat(DenseType t = DenseType::f32, bool with_screening = false)
      : type(t), screening(with_screening) {}
  /// What a matrix that is not ternary is kept as, or a vector: f32.
  DenseType of(const ModelConfig& config, const TensorSpec& spec) const;
};

/// The low-bit copy of a head (core/screening.h).
struct HeadScreen {
  TernaryMatrix planes;           // of screen_row(), scale 1; no tiles: the file holds none
  std::span<const float> scales;  // likewise, [rows]
  std::span<const float> errors;  // [rows]
  std::span<const float> mean;    // of screening_columns(), [cols]
  std::span<const float> spread;  // [cols]
};

class RotorFile {
 public:
  /// Checks version, header checksum, alignment, and name, type and shape of every tensor; reads no weights.
  /// Throws Error naming file, field or tensor, expected and found.
  explicit RotorFile(const std::string& path, FileMemory memory = {});

  const std::string& path() const { return container_.path(); }
  const ModelConfig& config() const { return config_; }
  const SafetensorsFile& container() const { return container_; }

  /// A `linear` tensor of a ternary model. Throws Error if the scale is not a finite number above 0.
  TernaryMatrix ternary(const std::string& name) const;
  /// An embedding, a head, or a matrix of an encoder's linear layer.
  DenseMatrix dense(const std::string& name) const;
  /// What embeddings, heads and an encoder's linear layers are kept as; f32 in a model that has none.
  DenseFormat dense_format() const { return dense_; }
  /// The copy of the head, if the file holds one.
  HeadScreen head_screen() const;
  /// Kind of tokenizer, chat template, ids of special tokens, as far as the file holds them.
  TextMetadata text() const { return text_metadata(path(), container_.metadata()); }
  /// A float32 tensor where it lies (norms, biases, the matrices of a float twin).
  std::span<const float> floats(const std::string& name) const;

  /// Reads everything: checksums of all tensors, pairs (1,1) and set bits in the padding of planes, scales
  /// and float values that are not finite, padding tensors that are not zero. One message a fault, at most
  /// `limit`; empty for a sound file.
  std::vector<std::string> verify(size_t limit = 20) const;
  /// Throws Error with the first message of verify(), if any.
  void check() const;
  /// Throws Error if the file was truncated while it was in use.
  void check_intact() const { container_.check_intact(); }

 private:
  static void check_version(const SafetensorsFile& file);
  void check_header_checksum() const;
  DenseFormat read_dense_format() const;
  DenseType stored_type(const std::string& name) const;
  void check_tensors() const;
  void check_tensor(const TensorDeclaration& expected) const;
  const std::string& metadata(const std::string& key) const;

  SafetensorsFile container_;
  ModelConfig config_;
  DenseFormat dense_;
  std::map<std::string, std::vector<int64_t>> ternary_shapes_;
};

/// Writes a .rotor file: tensors in the order of tensor_table(config), each once.
class RotorWriter {
 public:
  /// Throws Error for `attachments` that do not belong together, and for a screening copy of a head that is
  /// not kept in int8.
  RotorWriter(const std::string& path, const ModelConfig& config, DenseFormat dense = {},
              RotorAttachments attachments = {});

  /// The next tensor, a `linear` one of a ternary model: its tiles and its scale.
  /// Throws Error naming tensor, row and column of a pair (1,1) or of a set padding bit, or a scale that is
  /// not above 0.
  void write_ternary(const std::string& name, std::span<const uint8_t> tiles, float scale);
  /// The same, by pieces of rows that are packed on all cores: `read` fills the tiles of rows first .. first
  /// + rows - 1, where `first` begins a tile, and may be called from several threads at once, for each row
  /// once.
  using ReadTiles = std::function<void(int64_t first, int64_t rows, std::span<uint8_t> tiles)>;
  void write_ternary(const std::string& name, const ReadTiles& read, float scale);
  /// The next tensor, any other one; what DenseFormat is for is converted.
  void write_floats(const std::string& name, std::span<const float> values);
  /// The same, read by pieces as above, those of a screened head twice; a vector's rows are its values.
  using ReadFloats = std::function<void(int64_t first, int64_t rows, std::span<float> values)>;
  void write_floats(const std::string& name, const ReadFloats& read);
  /// Writes attachments, checksums and header, and renames the file into place.
  void commit();

 private:
  void begin_tensor(const std::string& name);
  void append(std::span<const uint8_t> bytes);
  void end_tensor();
  /// Fills `bytes`, whatever is in it, with rows first .. first + rows - 1 as they are written.
  using MakeRows = std::function<void(int64_t first, int64_t rows, std::vector<uint8_t>& bytes)>;
  /// Appends pieces of the rows of `shape`: whole row tiles, several made at once, in order.
  void write_rows(const std::vector<int64_t>& shape, const MakeRows& make);
  void write_tensor(const std::string& name, std::span<const uint8_t> bytes);
  void check_scale(const std::string& name, float scale) const;
  /// Throws Error for a fault in the tiles of rows first .. first + rows - 1.
  void check_planes(const std::string& name, std::span<const uint8_t> tiles, int64_t first, int64_t rows,
                    int64_t cols) const;
  void write_dense(const TensorSpec& spec, DenseType type, const ReadFloats& read);
  static void quantize_rows(const ReadFloats& read, int64_t first, int64_t count, std::span<int8_t> codes,
                            std::span<float> scales);
  void write_screen(const TensorSpec& spec, const ReadFloats& read, const ScreeningColumns& columns);
  const TensorSpec& spec(const std::string& name) const;

  std::string path_;
  ModelConfig config_;
  DenseFormat dense_;
  std::string screened_;  // name of the head that gets a copy, if one does
  RotorAttachments attachments_;
  std::vector<TensorSpec> table_;
  std::vector<TensorDeclaration> layout_;
  SafetensorsWriter writer_;
  size_t next_ = 0;     // in layout_
  size_t written_ = 0;  // bytes of the tensor that is being written
  Checksum checksum_;   // of them
};

/// The tensors that a .rotor file of `config` holds, in file order, without padding. Throws Error for a
/// screening copy of a head that is not dense and kept in int8.
std::vector<TensorDeclaration> rotor_tensors(const ModelConfig& config, DenseFormat dense = {});

/// Whether `config` has a dense head that reads more than a fast cache holds, so that a copy to screen it
/// pays.
bool screening_pays(const ModelConfig& config);

/// Name of the planes of a head's copy, "<name>_screen". Its vectors' names go on with "_scale", "_error",
/// "_mean" and "_spread".
std::string screen_name(const std::string& head_name);

}  // namespace rotor
