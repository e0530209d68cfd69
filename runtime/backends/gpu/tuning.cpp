// Names of the fields, and which values a device can do.
#include "runtime/backends/gpu/tuning.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <sstream>

#include "rotor/core/error.h"

namespace rotor::runtime::gpu {
namespace {

struct Field {
  const char* name;
  uint32_t Tuning::*value;
  uint32_t least;
  bool is_group;
};

constexpr std::array kFields = {
    Field{"row_group", &Tuning::row_group, 1, true},
    Field{"matvec_rows", &Tuning::matvec_rows, 1, false},
    Field{"matvec_group", &Tuning::matvec_group, 1, true},
    Field{"dense_group", &Tuning::dense_group, 1, true},
    Field{"dense_lanes", &Tuning::dense_lanes, 1, false},
    Field{"dense_block", &Tuning::dense_block, 1, false},
    Field{"matmul_tokens", &Tuning::matmul_tokens, 1, false},
    Field{"matmul_group", &Tuning::matmul_group, 64, true},
    Field{"attention_group", &Tuning::attention_group, 64, true},
    Field{"plain_group", &Tuning::plain_group, 16, true},
};

/// What the work items of a group share, in the kernels (kernels/*.comp) that are shaped by a field.
uint64_t local_bytes(const Tuning& tuning, uint32_t Tuning::*group) {
  const uint64_t items = tuning.*group;
  if (group == &Tuning::row_group) return 8 * items;
  if (group == &Tuning::matvec_group) return 4 * items * tuning.matvec_rows;
  if (group == &Tuning::matmul_group) return 4096 + 16 * items;
  if (group == &Tuning::attention_group) return 1024 + 24 * items;  // with heads of 256 dimensions
  return 4 * items;
}

}  // namespace

Tuning default_tuning(const DeviceInfo& info) {
  Tuning tuning;
  if (info.type == DeviceType::cpu) {
    // Cores with vectors: few work items that compute much each.
    tuning.matvec_rows = info.most_rows >= 16 ? 16 : 1;
    tuning.matvec_group = info.most_rows >= 16 ? 1 : 16;
    tuning.matmul_tokens = 4;
    tuning.dense_group = 16;
    tuning.dense_lanes = 1;
    tuning.dense_block = 1;
    tuning.row_group = 64;
    tuning.matmul_group = 64;
    tuning.attention_group = 64;
  }
  for (const Field& field : kFields) {
    if (!field.is_group) continue;
    if (info.largest_group < field.least) {
      fail(info.name, ": expected groups of at least ", field.least, " work items, found ",
           info.largest_group);
    }
    tuning.*field.value = std::min(tuning.*field.value, std::bit_floor(info.largest_group));
  }
  return tuning;
}

std::string to_text(const Tuning& tuning) {
  std::string text;
  for (const Field& field : kFields)
    text += cat(text.empty() ? "" : " ", field.name, "=", tuning.*field.value);
  return text;
}

void set_from_text(const std::string& text, const DeviceInfo& info, Tuning& tuning) {
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const auto field = std::ranges::find(kFields, name, &Field::name);
    if (field == kFields.end() || equals == std::string::npos) {
      std::string names;
      for (const Field& known : kFields) names += cat(names.empty() ? "" : ", ", known.name);
      fail("tuning: expected NAME=NUMBER with one of ", names, ", found \"", word, "\"");
    }
    const char* end = word.data() + word.size();
    uint32_t value = 0;
    const auto read = std::from_chars(word.data() + equals + 1, end, value);
    const uint32_t most = field->is_group           ? info.largest_group
                          : name == "matvec_rows"   ? info.most_rows
                          : name == "matmul_tokens" ? 16
                                                    : 256;
    if (read.ec != std::errc() || read.ptr != end || !std::has_single_bit(value) || value < field->least ||
        value > most) {
      fail("tuning: ", name, ": expected a power of two from ", field->least, " to ", most, ", found \"",
           word.substr(equals + 1), "\"");
    }
    tuning.*field->value = value;
  }
  if (tuning.matvec_rows != 1 && tuning.matvec_rows != 4 && tuning.matvec_rows != 16) {
    fail("tuning: matvec_rows: expected 1, 4 or 16, found ", tuning.matvec_rows);
  }
  if (tuning.matvec_group * tuning.matvec_rows < 16) {
    fail("tuning: matvec_group: expected at least ", 16 / tuning.matvec_rows,
         " with matvec_rows=", tuning.matvec_rows, ", found ", tuning.matvec_group);
  }
  if (tuning.dense_lanes > tuning.dense_group) {
    fail("tuning: dense_lanes: expected at most dense_group (", tuning.dense_group, "), found ",
         tuning.dense_lanes);
  }
  for (const Field& field : kFields) {
    if (!field.is_group) continue;
    const uint64_t bytes = local_bytes(tuning, field.value);
    if (bytes > info.local_memory) {
      fail("tuning: ", field.name, ": expected groups that share at most ", info.local_memory,
           " bytes, which this device has, found ", tuning.*field.value, " work items, which share ", bytes);
    }
  }
}

}  // namespace rotor::runtime::gpu
