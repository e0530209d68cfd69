// Models to .rotor, and what their files say of text.
#include "export/convert.h"

#include <algorithm>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string_view>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/formats/mapped_file.h"
#include "rotor/formats/rotor_file.h"
#include "rotor/text/gguf_tokenizer.h"
#include "rotor/text/tokenizer.h"

namespace rotor::exporting {
namespace {

constexpr int64_t kLlama3Vocabulary = 128256;
constexpr int32_t kLlama3EndOfTurn = 128009;
/// Each message as "Role: content" and an end of turn, without line breaks.
constexpr const char* k2b4tChatTemplate =
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] | capitalize }}: {{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}Assistant: {% endif %}";

/// Writes a ternary matrix and counts its values on the way.
void export_ternary(const ModelSource& source, const TensorSpec& spec, RotorWriter& writer,
                    ExportedTensor& tensor) {
  tensor.scale = source.scale(spec);
  std::mutex mutex;
  const auto read = [&](int64_t first, int64_t rows, std::span<int8_t> trits) {
    source.read_trits(spec, first, rows, trits);
    const TritCounts counts = count_trits(trits);
    const std::lock_guard lock(mutex);
    tensor.counts.minus += counts.minus;
    tensor.counts.zero += counts.zero;
    tensor.counts.plus += counts.plus;
  };
  writer.write_ternary(spec.name, read, tensor.scale);
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

RotorAttachments text_attachments(const GgufSource& source) {
  const GgufFile& file = source.file();
  const TransformerConfig& t = source.config().transformer;
  RotorAttachments attachments;
  if (const auto tokenizer = text::tokenizer_of(file); tokenizer != nullptr) {
    if (tokenizer->vocab_size() > t.vocab_size) {
      fail(file.path(), ": the tokenizer has ", tokenizer->vocab_size(),
           " tokens, the model a vocab_size of ", t.vocab_size);
    }
    attachments = tokenizer->attachments();
  }
  const TextMetadata text = text::gguf_text_metadata(file);
  attachments.metadata.erase(rotor_key::kBosToken);
  if (text.bos_token) attachments.set_bos_token(*text.bos_token);
  std::vector<int32_t> stop_tokens = text.stop_tokens;
  const bool is_2b4t = file.text("general.architecture") != "bitnet" &&
                       source.config().model_type == "bitnet" && t.vocab_size == kLlama3Vocabulary;
  if (is_2b4t) {
    if (std::ranges::find(stop_tokens, kLlama3EndOfTurn) == stop_tokens.end())
      stop_tokens.push_back(kLlama3EndOfTurn);
    attachments.set_chat_template(k2b4tChatTemplate);
  } else if (text.chat_template) {
    attachments.set_chat_template(*text.chat_template);
  }
  if (!stop_tokens.empty()) attachments.set_stop_tokens(stop_tokens);
  return attachments;
}

DenseFormat ExportOptions::dense_format(const ModelConfig& config) const {
  return {head, head_screening.value_or(head == DenseType::q8 && screening_pays(config))};
}

void export_rotor(const ModelSource& source, const RotorAttachments& attachments, const std::string& path,
                  const ExportOptions& options, const OnTensor& on_tensor) {
  const DenseFormat dense = options.dense_format(source.config());
  const auto stored = rotor_tensors(source.config(), dense);
  RotorWriter writer(path, source.config(), dense, attachments);
  for (const TensorSpec& spec : tensor_table(source.config())) {
    ExportedTensor tensor{
        .name = spec.name, .shape = spec.shape, .source_bytes = source.stored_bytes(spec), .counts = {}};
    tensor.ternary = is_ternary(source.config(), spec);
    for (const TensorDeclaration& part : stored) {
      if (part.name == spec.name || part.name.starts_with(spec.name + "_")) tensor.bytes += part.bytes();
    }
    try {
      if (tensor.ternary) {
        export_ternary(source, spec, writer, tensor);
      } else {
        if (spec.role == TensorRole::embedding) tensor.dense = options.head;
        writer.write_floats(spec.name, [&](int64_t first, int64_t rows, std::span<float> values) {
          source.read_floats(spec, first, rows, values);
        });
      }
    } catch (const Error& e) {  // what the writer finds wrong lies in the source, which it does not know
      if (std::string_view(e.what()).starts_with(source.path())) throw;
      fail(source.path(), ": tensor \"", spec.name, "\": ", e.what());
    }
    on_tensor(tensor);
  }
  writer.commit();
}

void export_rotor(const Checkpoint& checkpoint, const std::string& path, const ExportOptions& options,
                  const OnTensor& on_tensor) {
  export_rotor(checkpoint, text_attachments(checkpoint), path, options, on_tensor);
}

}  // namespace rotor::exporting
