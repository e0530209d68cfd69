// Models to .rotor files.
#include "export/convert.h"
#include "export/pieces.h"

namespace rotor::exporting {
namespace {

std::string dense_text(DenseType type) {
  return type == DenseType::f32 ? "float32" : type == DenseType::f16 ? "float16" : "int8 rows";
}

}  // namespace

DenseFormat ExportOptions::dense_format(const ModelConfig& config) const {
  if (config.is_encoder()) {
    DenseFormat format = embeddings;
    format.layers = layers;
    return format;
  }
  return {head, head_screening.value_or(head == DenseType::q8 && screening_pays(config))};
}

std::vector<PlannedTensor> plan_rotor(const ModelSource& source, const ExportOptions& options) {
  std::vector<PlannedTensor> plan;
  for (const auto& tensor : rotor_tensors(source.config(), options.dense_format(source.config()))) {
    plan.push_back({tensor.name, dtype_name(tensor.dtype), tensor.shape});
  }
  return plan;
}

void export_rotor(const ModelSource& source, const ModelText& text, const std::string& path,
                  const ExportOptions& options, const OnTensor& on_tensor) {
  const DenseFormat dense = options.dense_format(source.config());
  const auto stored = rotor_tensors(source.config(), dense);
  RotorWriter writer(path, source.config(), dense, text.attachments());
  for (const TensorSpec& spec : tensor_table(source.config())) {
    ExportedTensor tensor = exported(source, spec);
    for (const TensorDeclaration& part : stored) {
      if (part.name == spec.name || part.name.starts_with(spec.name + "_")) tensor.bytes += part.bytes();
    }
    naming_source(source, spec.name, [&] {
      if (tensor.ternary) {
        tensor.type = "ternary planes";
        CountedTrits trits(source, spec, tensor);
        writer.write_ternary(
            spec.name,
            [&](int64_t first, int64_t rows, std::span<uint8_t> tiles) {
              trits.read_tiles(first, rows, tiles);
            },
            tensor.scale);
      } else {
        tensor.type = dense_text(dense.of(source.config(), spec));
        writer.write_floats(spec.name, [&](int64_t first, int64_t rows, std::span<float> values) {
          source.read_floats(spec, first, rows, values);
        });
      }
    });
    on_tensor(tensor);
  }
  writer.commit();
}

void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor) {
  export_rotor(checkpoint, text::model_text(checkpoint), path, options, on_tensor);
}

}  // namespace rotor::exporting
