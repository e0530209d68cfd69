// Export to .rotor.
#include "export/convert.h"

#include <filesystem>
#include <optional>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/tokenizer.h"

namespace rotor::exporting {
namespace {

void export_ternary(const Checkpoint::Ternary& matrix, RotorWriter& writer, ExportedTensor& tensor) {
  const auto rows = static_cast<size_t>(tensor.shape[0]);
  const auto cols = static_cast<size_t>(tensor.shape[1]);
  tensor.scale = matrix.scale;
  std::vector<uint8_t> tiles(tile_bytes(rows, cols));
  pack_tiles(matrix.codes, rows, cols, tiles);
  tensor.counts = count_trits(matrix.codes);
  writer.write_ternary(tensor.name, tiles, tensor.scale);
}

/// Hugging Face keeps it in tokenizer_config.json, or, newer, in a file of its own.
std::optional<std::string> read_chat_template(const std::string& directory) {
  if (const std::string path = directory + "/chat_template.jinja"; std::filesystem::exists(path)) {
    return std::string(MappedFile(path).text());
  }
  const std::string path = directory + "/tokenizer_config.json";
  if (!std::filesystem::exists(path)) return std::nullopt;
  const Json config = read_json_file(path);
  if (!config.is_object() || !config.contains("chat_template")) return std::nullopt;
  if (!config["chat_template"].is_string()) {
    fail(path, ": chat_template: expected a string, found ", quote_json(config["chat_template"]));
  }
  return config["chat_template"].get<std::string>();
}

}  // namespace

RotorAttachments text_attachments(const Checkpoint& checkpoint) {
  RotorAttachments attachments;
  if (!checkpoint.config().is_transformer()) return attachments;
  const TransformerConfig& t = checkpoint.config().transformer;
  if (const std::string file = text::tokenizer_file(checkpoint.directory()); !file.empty()) {
    const auto tokenizer = text::load_tokenizer(file);
    if (tokenizer->vocab_size() > t.vocab_size) {
      fail(file, ": the tokenizer has ", tokenizer->vocab_size(), " tokens, the model a vocab_size of ",
           t.vocab_size, ": it belongs to another model");
    }
    attachments = tokenizer->attachments();
  }
  // The model's config decides what texts begin with: a tokenizer may know a token that the model was not
  // trained on.
  attachments.metadata.erase(rotor_key::kBosToken);
  if (t.bos_token_id) attachments.set_bos_token(static_cast<int32_t>(*t.bos_token_id));
  if (!t.eos_token_ids.empty()) attachments.set_stop_tokens({t.eos_token_ids.begin(), t.eos_token_ids.end()});
  if (const auto chat_template = read_chat_template(checkpoint.directory())) {
    attachments.set_chat_template(*chat_template);
  }
  return attachments;
}

DenseFormat ExportOptions::dense_format(const ModelConfig& config) const {
  return {head, head_screening.value_or(head == DenseType::q8 && screening_pays(config))};
}

void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor) {
  const DenseFormat dense = options.dense_format(checkpoint.config());
  const auto stored = rotor_tensors(checkpoint.config(), dense);
  RotorWriter writer(path, checkpoint.config(), dense, text_attachments(checkpoint));
  for (const TensorSpec& spec : tensor_table(checkpoint.config())) {
    const TensorInfo& source = checkpoint.weights().at(spec.name);
    ExportedTensor tensor{
        .name = spec.name, .shape = spec.shape, .source_bytes = source.end - source.begin, .counts = {}};
    tensor.ternary = is_ternary(checkpoint.config(), spec);
    for (const TensorDeclaration& part : stored) {
      if (part.name == spec.name || part.name.starts_with(spec.name + "_")) tensor.bytes += part.bytes();
    }
    try {
      if (tensor.ternary) {
        export_ternary(checkpoint.ternary(spec), writer, tensor);
      } else {
        const std::vector<float> weights = checkpoint.tensor(spec.name);
        if (spec.role == TensorRole::embedding) tensor.dense = options.head;
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
