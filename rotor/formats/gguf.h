// GGUF files, version 3, little-endian: keys and values, then tensors in block formats. The reader maps the
// file and checks the whole header before anything is used; the writer streams tensors in the order they were
// declared and appears under its name only when whole. Format: ggml, docs/gguf.md; block formats are
// core/gguf_blocks.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rotor/formats/atomic_file.h"
#include "rotor/formats/mapped_file.h"

namespace rotor {

inline constexpr uint32_t kGgufVersion = 3;
inline constexpr size_t kGgufAlignment = 32;

/// How a tensor's elements are kept, by GGUF's numbers. A file may hold others than these.
enum class GgufType : uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q8_0 = 8,
  q6_k = 14,
  bf16 = 30,
  tq1_0 = 34,
  tq2_0 = 35,
  i2_s = 36,
};
/// "TQ2_0"; "type 19 (IQ1_S)" or "type 99" for one that is not read here.
std::string gguf_type_name(GgufType type);

struct GgufTensorInfo {
  std::string name;
  std::vector<int64_t> shape;  ///< outermost first: rows, columns
  GgufType type = GgufType::f32;
  size_t begin = 0;  ///< from the start of the data
  size_t end = 0;    ///< behind its last byte; for a type that is not read here, where the next tensor starts

  int64_t elements() const;
};

/// Bytes that `elements` values take in rows of `columns`; nothing for a type that is not read here. Throws
/// Error if a row is no whole number of blocks.
std::optional<size_t> gguf_bytes(GgufType type, int64_t elements, int64_t columns);

class GgufFile {
 public:
  /// Throws Error naming file, key or tensor, expected and found. Reads no tensor data.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  /// Sorted by place in the file.
  const std::vector<GgufTensorInfo>& tensors() const { return tensors_; }
  /// nullptr if there is none of that name.
  const GgufTensorInfo* find(const std::string& name) const;
  /// The tensor's bytes where they lie, valid while this object lives.
  std::span<const uint8_t> bytes(const GgufTensorInfo& tensor) const;

  /// Values. Each throws Error naming file, key, expected and found for a key that is missing or of another
  /// type. Integers of every width and sign are integers.
  bool has(const std::string& key) const { return values_.contains(key); }
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;
  bool boolean(const std::string& key) const;
  std::string_view text(const std::string& key) const;
  std::vector<std::string_view> texts(const std::string& key) const;
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<float> floats(const std::string& key) const;
  /// A value for people; arrays as their size, "[128256 texts]".
  std::optional<std::string> describe(const std::string& key) const;
  /// All keys, sorted.
  std::vector<std::string> keys() const;

  size_t file_bytes() const { return file_.bytes().size(); }
  void check_intact() const { file_.check_intact(); }

 private:
  enum class ValueType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
  /// Where a value lies. Of an array: the type of its items, and the first one.
  struct Value {
    ValueType type;
    bool is_array;
    uint64_t count;
    size_t position;
  };
  class Cursor;

  static size_t width(ValueType type);
  static bool is_integer(ValueType type);
  void parse();
  Value parse_value(Cursor& cursor, const std::string& key) const;
  void parse_tensors(Cursor& cursor, uint64_t count);
  const Value& value(const std::string& key) const;
  const Value& array(const std::string& key, bool fits, const char* expected) const;
  int64_t integer_at(ValueType type, size_t position) const;
  [[noreturn]] void wrong_type(const std::string& key, const char* expected) const;

  MappedFile file_;
  std::map<std::string, Value> values_;
  std::vector<GgufTensorInfo> tensors_;
  std::map<std::string, size_t> by_name_;
  size_t data_offset_ = 0;
};

/// A value to be written. Whole numbers are u32 where they are not negative and fit, else i64; numbers are
/// f32.
using GgufValue = std::variant<bool, int64_t, double, std::string, std::vector<std::string>,
                               std::vector<int32_t>, std::vector<float>>;

struct GgufTensorDeclaration {
  std::string name;
  std::vector<int64_t> shape;  ///< outermost first
  GgufType type;
};

class GgufWriter {
 public:
  /// Throws Error for a name that is declared twice and for a row that is no whole number of blocks.
  GgufWriter(const std::string& path, const std::vector<std::pair<std::string, GgufValue>>& values,
             const std::vector<GgufTensorDeclaration>& tensors);

  /// Appends data of the tensors, in declared order; pieces may be of any size but end where a tensor does.
  void write(std::span<const uint8_t> bytes);
  /// Renames the file into place. Throws Error unless all tensors were written to their last byte.
  void commit();

 private:
  AtomicFile file_;
  std::vector<std::pair<std::string, size_t>> sizes_;
  size_t next_ = 0;     // tensor that is being written
  size_t written_ = 0;  // bytes of it
};

}  // namespace rotor
