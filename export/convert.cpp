// Export to .rotor.
#include "export/convert.h"

#include "rotor/core/error.h"
#include "rotor/formats/rotor_file.h"

namespace rotor::exporting {
namespace {

void export_ternary(const Checkpoint::Ternary& matrix, RotorWriter& writer, ExportedTensor& tensor) {
  const auto rows = static_cast<size_t>(tensor.shape[0]);
  const auto cols = static_cast<size_t>(tensor.shape[1]);
  tensor.scale = matrix.scale;
  std::vector<uint8_t> tiles(tile_bytes(rows, cols));
  pack_tiles(matrix.codes, rows, cols, tiles);
  tensor.counts = count_trits(matrix.codes);
  tensor.bytes = tiles.size() + sizeof(float);
  writer.write_ternary(tensor.name, tiles, tensor.scale);
}

}  // namespace

void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor) {
  RotorWriter writer(path, checkpoint.config(), options.head);
  for (const TensorSpec& spec : tensor_table(checkpoint.config())) {
    const TensorInfo& source = checkpoint.weights().at(spec.name);
    ExportedTensor tensor{
        .name = spec.name, .shape = spec.shape, .source_bytes = source.end - source.begin, .counts = {}};
    tensor.ternary = is_ternary(checkpoint.config(), spec);
    try {
      if (tensor.ternary) {
        export_ternary(checkpoint.ternary(spec), writer, tensor);
      } else {
        const std::vector<float> weights = checkpoint.tensor(spec.name);
        if (spec.role == TensorRole::embedding) tensor.dense = options.head;
        tensor.bytes = weights.size() * dense_bytes(tensor.dense);
        if (tensor.dense == DenseType::q8) tensor.bytes += static_cast<size_t>(spec.shape[0]) * sizeof(float);
        writer.write_floats(spec.name, weights);
      }
    } catch (const Error& e) {
      fail(checkpoint.weights().path(), ": tensor \"", spec.name, "\": ", e.what());
    }
    on_tensor(tensor);
  }
  writer.commit();
}

}  // namespace rotor::exporting
