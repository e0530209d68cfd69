// Models to Hugging Face directories. Reference for what a reader expects: transformers,
// integrations/bitnet.py and quantizers/quantizer_bitnet.py.
#include <algorithm>
#include <numeric>

#include "export/convert.h"
#include "export/pieces.h"
#include "rotor/core/absmean_masters.h"
#include "rotor/core/error.h"
#include "rotor/core/hf_packing.h"
#include "rotor/core/parallel.h"
#include "rotor/formats/atomic_file.h"
#include "rotor/formats/config_json.h"
#include "rotor/formats/json.h"

namespace rotor::exporting {
namespace {

/// A tensor of the table, and the tensors of the file that hold it.
struct HfEntry {
  TensorSpec spec;
  bool packed = false;
  TensorDeclaration weights;
  TensorDeclaration scale;  // if packed
  float divisor = 1.0F;     // of float values
};

/// Whether ternary matrices must be made into masters, as the source has none.
bool makes_masters(const ModelSource& source, const TensorSpec& spec) {
  return is_ternary(source.config(), spec) && !source.has_masters();
}

/// What the values of a float tensor are divided by. Of packed codes, transformers' AutoBitLinear multiplies
/// sum and bias by the scale, so that a bias is kept as bias / scale: once read again it is the same but for
/// the rounding of the quotient, 2^-23 of itself at most in float32.
float divisor_of(const ModelSource& source, const TensorSpec& spec, const HfOptions& options) {
  const auto weight = ternary_of_bias(source.config(), spec.name);
  return options.packed && weight ? source.scale(*weight) : 1.0F;
}

/// The type of all that is no codes. It is one for the whole model: transformers 5 leaves tensors that it
/// does not pack in the type of the file, and its products want both factors of one type.
DType float_type(const ModelSource& source, const HfOptions& options) {
  if (options.dtype) return *options.dtype;
  std::vector<DType> types = {DType::bf16, DType::f16, DType::f32};
  for (const TensorSpec& spec : tensor_table(source.config())) {
    if (!is_ternary(source.config(), spec) || (!options.packed && source.has_masters())) {
      keep_exact_types(source, spec, types, divisor_of(source, spec, options));
    } else if (options.packed) {
      std::erase_if(types, [&](DType type) { return !holds(type, source.scale(spec)); });
    } else {
      std::erase(types, DType::f16);  // masters that are made here are bfloat16
    }
  }
  return types.front();
}

std::vector<HfEntry> layout(const ModelSource& source, const HfOptions& options) {
  const ModelConfig& config = source.config();
  if (config.is_encoder()) fail(source.path(), ": a sentence encoder: expected --to rotor");
  if (options.packed && !(config.is_transformer() && config.quantization == Quantization::ternary)) {
    fail(source.path(), ": hf-packed holds ternary language models; this is ",
         config.is_transformer() ? "a float model (--ternarize absmean makes it ternary)" : "an mlp",
         ": choose hf");
  }
  const DType type = float_type(source, options);
  std::vector<HfEntry> entries;
  for (const TensorSpec& spec : tensor_table(config)) {
    HfEntry entry{spec, options.packed && is_ternary(config, spec), {spec.name, type, spec.shape}, {}};
    entry.divisor = divisor_of(source, spec, options);
    if (entry.packed) {
      entry.weights.dtype = DType::u8;
      entry.weights.shape[0] = static_cast<int64_t>(hf_packed_rows(static_cast<size_t>(spec.shape[0])));
      entry.scale = {scale_name(spec.name), type, {1}};
    }
    entries.push_back(entry);
  }
  return entries;
}

void write_packed(const ModelSource& source, const HfEntry& entry, SafetensorsWriter& writer,
                  ExportedTensor& tensor) {
  const int64_t rows = entry.spec.shape[0];
  const int64_t cols = entry.spec.shape[1];
  const int64_t packed_rows = entry.weights.shape[0];
  CountedTrits trits(source, entry.spec, tensor);
  parallel_rows_in_order(
      packed_rows, rows_a_piece(4 * cols),
      [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
        bytes.assign(static_cast<size_t>(count * cols), 0);
        std::vector<int8_t> quarter;
        for (unsigned i = 0; i < 4; ++i) {
          const int64_t begin = i * packed_rows + first;
          const int64_t height = std::min(count, rows - begin);
          if (height <= 0) break;
          quarter.resize(static_cast<size_t>(height * cols));
          trits.read(begin, height, quarter);
          hf_pack_quarter(quarter, i, bytes);
        }
      },
      [&](std::span<const uint8_t> bytes) { writer.write(bytes); });
  std::vector<uint8_t> scale(dtype_bytes(entry.scale.dtype));
  floats_to(entry.scale.dtype, std::span(&tensor.scale, 1), scale);
  writer.write(scale);
}

void write_masters(const ModelSource& source, const HfEntry& entry, SafetensorsWriter& writer,
                   ExportedTensor& tensor) {
  const int64_t rows = entry.spec.shape[0];
  const int64_t cols = entry.spec.shape[1];
  const int64_t step = rows_a_piece(cols);
  CountedTrits trits(source, entry.spec, tensor);
  std::vector<size_t> nonzero(static_cast<size_t>((rows + step - 1) / step));  // before each piece
  parallel_rows(rows, step, [&](int64_t first, int64_t count) {
    std::vector<int8_t> codes(static_cast<size_t>(count * cols));
    trits.read(first, count, codes);
    nonzero[static_cast<size_t>(first / step)] =
        codes.size() - static_cast<size_t>(std::ranges::count(codes, 0));
  });
  const size_t all_nonzero = tensor.counts.minus + tensor.counts.plus;
  std::exclusive_scan(nonzero.begin(), nonzero.end(), nonzero.begin(), size_t{0});
  const AbsmeanMasters masters(all_nonzero, static_cast<size_t>(rows * cols), tensor.scale);
  parallel_rows_in_order(
      rows, step,
      [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
        std::vector<int8_t> codes(static_cast<size_t>(count * cols));
        source.read_trits(entry.spec, first, count, codes);
        const size_t before = nonzero[static_cast<size_t>(first / step)];
        std::vector<float> values(codes.size());
        masters.fill(codes, before, static_cast<size_t>(first * cols) - before, values);
        bytes.resize(values.size() * dtype_bytes(entry.weights.dtype));
        floats_to(entry.weights.dtype, values, bytes);
      },
      [&](std::span<const uint8_t> bytes) { writer.write(bytes); });
}

void write_floats(const ModelSource& source, const HfEntry& entry, SafetensorsWriter& writer) {
  parallel_rows_in_order(
      entry.spec.shape[0], rows_a_piece(columns(entry.spec)),
      [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
        read_as(source, entry.spec, first, count, entry.weights.dtype, bytes, entry.divisor);
      },
      [&](std::span<const uint8_t> bytes) { writer.write(bytes); });
}

std::string config_json(const ModelConfig& config, const HfOptions& options, DType dtype) {
  Json json = parse_json(model_config_to_json(config), "config.json");
  if (options.packed) json["quantization_config"]["quantization_mode"] = "offline";
  if (config.is_transformer()) {
    json["torch_dtype"] = type_text(dtype);
    // Where a key is missing, classes have ids of their own, which may lie outside this vocabulary.
    for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
      if (!json.contains(key)) json[key] = nullptr;
    }
  }
  return dump_json(json, 2) + "\n";
}

}  // namespace

std::vector<PlannedTensor> plan_hf(const ModelSource& source, const HfOptions& options) {
  std::vector<PlannedTensor> plan;
  for (const HfEntry& entry : layout(source, options)) {
    plan.push_back({entry.weights.name, dtype_name(entry.weights.dtype), entry.weights.shape});
    if (entry.packed) plan.push_back({entry.scale.name, dtype_name(entry.scale.dtype), entry.scale.shape});
  }
  return plan;
}

void export_hf(const ModelSource& source, const ModelText& text, const std::string& directory,
               const HfOptions& options, const OnTensor& on_tensor) {
  AtomicDirectory target(directory);
  const std::vector<HfEntry> entries = layout(source, options);
  std::vector<TensorDeclaration> declarations;
  for (const HfEntry& entry : entries) {
    declarations.push_back(entry.weights);
    if (entry.packed) declarations.push_back(entry.scale);
  }
  const std::string& path = target.temporary_path();
  SafetensorsWriter writer(path + "/" + kWeightsFile, {{"format", "pt"}}, declarations);
  for (const HfEntry& entry : entries) {
    ExportedTensor tensor = exported(source, entry.spec);
    tensor.bytes = entry.weights.bytes() + (entry.packed ? entry.scale.bytes() : 0);
    tensor.type = entry.packed ? "packed codes" : type_text(entry.weights.dtype);
    naming_source(source, entry.spec.name, [&] {
      if (entry.packed) {
        write_packed(source, entry, writer, tensor);
      } else if (makes_masters(source, entry.spec)) {
        write_masters(source, entry, writer, tensor);
      } else {
        tensor.ternary = false;  // the source's own masters, which nothing counts
        write_floats(source, entry, writer);
      }
    });
    on_tensor(tensor);
  }
  writer.commit();
  write_file(path + "/" + kConfigFile, config_json(source.config(), options, entries.front().weights.dtype));
  if (source.config().is_transformer()) text::write_model_text(text, path);
  target.commit();
}

}  // namespace rotor::exporting
