// Models to GGUF files. References: llama.cpp, convert_hf_to_gguf.py (BitnetModel, LlamaModel, Qwen2Model)
// and llama-model.cpp (what each architecture's loader asks for); ik_llama.cpp for bitnet-b1.58.
#include <algorithm>
#include <filesystem>
#include <utility>

#include "export/convert.h"
#include "export/pieces.h"
#include "rotor/core/error.h"
#include "rotor/core/gguf_blocks.h"
#include "rotor/core/parallel.h"
#include "rotor/formats/gguf_source.h"
#include "rotor/text/gguf_tokenizer.h"

namespace rotor::exporting {
namespace {

constexpr size_t kI2sTail = 32;  // the scale behind an I2_S tensor, and bytes that nobody reads

/// A tensor of the table as it will stand in the file.
struct GgufEntry {
  TensorSpec spec;
  std::string name;
  GgufType type = GgufType::f32;
  float scale = 0.0F;       // if ternary
  bool has_factor = false;  // the scale is a tensor of its own, and blocks have the scale 1
};

/// The architecture whose graph computes what `config` says. Throws Error if there is none.
std::string architecture_of(const ModelSource& source) {
  const ModelConfig& config = source.config();
  const TransformerConfig& t = config.transformer;
  const std::string& path = source.path();
  if (!config.is_transformer())
    fail(path, ": GGUF holds language models; this is ",
         config.is_encoder() ? "a sentence encoder: choose rotor" : "an mlp: choose rotor or hf");
  if (config.quantization == Quantization::none) {
    fail(path, ": a float model: Rotor writes ternary models as GGUF (--ternarize absmean makes it ternary)");
  }
  if (t.ternary_head) fail(path, ": a ternary lm_head has no place in GGUF files: choose rotor or hf");
  if (t.use_rms_norm) fail(path, ": use_rms_norm has no place in GGUF files: choose rotor, hf or hf-packed");
  if (std::ranges::any_of(tensor_table(config),
                          [](const TensorSpec& spec) { return spec.role == TensorRole::dense; })) {
    fail(path, ": a layer that stays dense (modules_to_not_convert) has no place in GGUF files: choose ",
         "rotor, hf or hf-packed");
  }
  const bool silu = t.hidden_act == Activation::silu;
  if (config.model_type == "llama" && silu) return "llama";
  if (config.model_type == "qwen2" && silu) {
    if (t.query_size() == t.hidden_size) return "qwen2";
    fail(path, ": llama.cpp's architecture qwen2 has queries as wide as hidden_size (", t.hidden_size,
         "), found ", t.query_size(), ": choose rotor, hf or hf-packed");
  }
  if (config.model_type == "bitnet" && t.hidden_act == Activation::relu2) return "bitnet-b1.58";
  if (config.model_type != "bitnet" || !silu) {
    fail(path, ": no program that reads GGUF has a ", config.model_type, " with ", name(t.hidden_act),
         ": choose rotor, hf or hf-packed");
  }
  if (!t.tie_word_embeddings) {
    fail(path,
         ": llama.cpp's architecture bitnet has no lm_head of its own (tie_word_embeddings: false): "
         "choose rotor, hf or hf-packed");
  }
  return "bitnet";
}

GgufType ternary_type(const std::string& architecture, const GgufExportOptions& options) {
  return options.ternary.value_or(architecture == "bitnet-b1.58" ? GgufType::i2_s : GgufType::tq2_0);
}

/// Whether the blocks of `type` hold rows of `cols` values.
void check_columns(const ModelSource& source, const TensorSpec& spec, GgufType type, I2sOrder order) {
  const int64_t cols = spec.shape[1];
  const auto block = static_cast<int64_t>(type == GgufType::i2_s ? i2s_block(order) : kTernaryBlock);
  if (cols % block == 0) return;
  const bool fits_i2s = cols % static_cast<int64_t>(i2s_block(I2sOrder::x86)) == 0;
  fail(source.path(), ": tensor \"", spec.name, "\": ", gguf_type_name(type), " needs rows of a multiple of ",
       block, " values, found ", cols, ": choose ", fits_i2s ? "--type i2_s, " : "",
       "rotor, hf or hf-packed");
}

bool is_half(float value) {
  return f16_to_float(float_to_f16(value)) == value;
}

GgufEntry ternary_entry(const ModelSource& source, const TensorSpec& spec, const std::string& architecture,
                        const GgufExportOptions& options) {
  GgufEntry entry{spec, gguf_tensor_name(spec.name), ternary_type(architecture, options), source.scale(spec)};
  check_columns(source, spec, entry.type, options.i2s_order);
  if (entry.type == GgufType::i2_s || is_half(entry.scale)) return entry;
  if (architecture == "bitnet") {  // whose loader knows a factor beside each matrix
    entry.has_factor = true;
    return entry;
  }
  const float rounded = f16_to_float(float_to_f16(entry.scale));
  if (!options.round_scales || !(rounded > 0.0F) || rounded > 65504.0F) {
    fail(source.path(), ": tensor \"", spec.name, "\": ", gguf_type_name(entry.type),
         " keeps scales as float16, which does not hold ", entry.scale, " exactly: choose --type i2_s, or ",
         "--round-scales (here by ", std::abs(rounded / entry.scale - 1.0F), " of it)");
  }
  entry.scale = rounded;
  return entry;
}

GgufType embedding_type(const ModelSource& source, const TensorSpec& spec, const GgufExportOptions& options) {
  if (options.head) {
    if (*options.head == GgufType::q8_0 && spec.shape[1] % 32 != 0) {
      fail(source.path(), ": tensor \"", spec.name, "\": Q8_0 needs rows of a multiple of 32 values, found ",
           spec.shape[1], ": choose --head f16");
    }
    return *options.head;
  }
  std::vector<DType> types = {DType::f16, DType::bf16, DType::f32};
  keep_exact_types(source, spec, types);
  const DType type = types.front();
  return type == DType::f16 ? GgufType::f16 : type == DType::bf16 ? GgufType::bf16 : GgufType::f32;
}

std::vector<GgufEntry> layout(const ModelSource& source, const GgufExportOptions& options) {
  const std::string architecture = architecture_of(source);
  std::vector<GgufEntry> entries;
  for (const TensorSpec& spec : tensor_table(source.config())) {
    if (is_ternary(source.config(), spec)) {
      entries.push_back(ternary_entry(source, spec, architecture, options));
    } else {
      const bool is_embedding = spec.role == TensorRole::embedding;
      entries.push_back({spec, gguf_tensor_name(spec.name),
                         is_embedding ? embedding_type(source, spec, options) : GgufType::f32});
    }
  }
  return entries;
}

/// A tensor of the file: name, type, shape.
std::vector<GgufTensorDeclaration> declarations(const std::vector<GgufEntry>& entries) {
  std::vector<GgufTensorDeclaration> all;
  for (const GgufEntry& entry : entries) {
    all.push_back({entry.name, entry.spec.shape, entry.type});
    if (entry.has_factor) all.push_back({gguf_factor_name(entry.name), {1}, GgufType::f32});
  }
  return all;
}

std::vector<std::pair<std::string, GgufValue>> values(const ModelSource& source, const ModelText& text,
                                                      const std::string& path,
                                                      const GgufExportOptions& options) {
  const std::string architecture = architecture_of(source);
  const TransformerConfig& t = source.config().transformer;
  const GgufType type = ternary_type(architecture, options);
  const int64_t file_type = type == GgufType::tq1_0 ? 36 : type == GgufType::tq2_0 ? 37 : 40;
  std::vector<std::pair<std::string, GgufValue>> all;
  const auto key = [&](const char* name) { return cat(architecture, ".", name); };
  all.emplace_back("general.architecture", architecture);
  all.emplace_back("general.name", std::filesystem::path(path).stem().string());
  all.emplace_back("general.file_type", file_type);
  all.emplace_back("general.quantization_version", int64_t{2});
  all.emplace_back(key("vocab_size"), t.vocab_size);
  all.emplace_back(key("context_length"), t.max_position_embeddings);
  all.emplace_back(key("embedding_length"), t.hidden_size);
  all.emplace_back(key("block_count"), t.num_hidden_layers);
  all.emplace_back(key("feed_forward_length"), t.intermediate_size);
  all.emplace_back(key("attention.head_count"), t.num_attention_heads);
  all.emplace_back(key("attention.head_count_kv"), t.num_key_value_heads);
  all.emplace_back(key("attention.layer_norm_rms_epsilon"), t.rms_norm_eps);
  if (t.query_size() != t.hidden_size) {
    all.emplace_back(key("attention.key_length"), t.head_dim);
    all.emplace_back(key("attention.value_length"), t.head_dim);
  }
  all.emplace_back(key("rope.dimension_count"), t.head_dim);
  all.emplace_back(key("rope.freq_base"), t.rope_theta);
  if (text.tokenizer != nullptr) {
    for (auto& value : text::gguf_tokenizer_values(*text.tokenizer, text.metadata, t.vocab_size)) {
      all.push_back(std::move(value));
    }
    return all;
  }
  // Programs load no model without a vocabulary, but for this kind.
  all.emplace_back("tokenizer.ggml.model", std::string("no_vocab"));
  if (text.metadata.bos_token) {
    all.emplace_back("tokenizer.ggml.bos_token_id", int64_t{*text.metadata.bos_token});
  }
  if (!text.metadata.stop_tokens.empty()) {
    all.emplace_back("tokenizer.ggml.eos_token_id", int64_t{text.metadata.stop_tokens.front()});
  }
  if (text.metadata.chat_template) {
    all.emplace_back("tokenizer.chat_template", text::default_template(*text.metadata.chat_template));
  }
  return all;
}

/// Reads rows in the order of the file, which for architecture llama is not that of the model.
void read_stored_rows(const ModelSource& source, const TensorSpec& spec, int64_t first, int64_t rows,
                      CountedTrits& trits, std::span<int8_t> out) {
  if (!gguf_permutes(source.config(), spec)) return trits.read(first, rows, out);
  // Pieces are whole heads: row `row` of the model goes to gguf_rope_row() of the same head.
  const auto cols = static_cast<size_t>(spec.shape[1]);
  std::vector<int8_t> plain(out.size());
  trits.read(first, rows, plain);
  for (int64_t row = first; row < first + rows; ++row) {
    const auto from = static_cast<size_t>(row - first) * cols;
    const auto to =
        static_cast<size_t>(gguf_rope_row(row, source.config().transformer.head_dim) - first) * cols;
    std::copy_n(plain.begin() + static_cast<std::ptrdiff_t>(from), cols,
                out.begin() + static_cast<std::ptrdiff_t>(to));
  }
}

void write_ternary(const ModelSource& source, const GgufEntry& entry, I2sOrder order, GgufWriter& writer,
                   ExportedTensor& tensor) {
  const int64_t rows = entry.spec.shape[0];
  const int64_t cols = entry.spec.shape[1];
  const uint16_t d = float_to_f16(entry.has_factor ? 1.0F : entry.scale);
  CountedTrits trits(source, entry.spec, tensor);
  const bool permuted = gguf_permutes(source.config(), entry.spec);
  const int64_t step = rows_a_piece(cols, permuted ? source.config().transformer.head_dim : 1);
  parallel_rows_in_order(
      rows, step,
      [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
        std::vector<int8_t> values(static_cast<size_t>(count * cols));
        read_stored_rows(source, entry.spec, first, count, trits, values);
        if (entry.type == GgufType::i2_s) {
          bytes.resize(values.size() / 4);
          encode_i2s(values, order, bytes);
          return;
        }
        const bool is_tq1 = entry.type == GgufType::tq1_0;
        const size_t size = is_tq1 ? kTq1Bytes : kTq2Bytes;
        bytes.resize(values.size() / kTernaryBlock * size);
        for (size_t block = 0; block < values.size() / kTernaryBlock; ++block) {
          const auto in = std::span<const int8_t>(values).subspan(block * kTernaryBlock, kTernaryBlock);
          const auto out = std::span(bytes).subspan(block * size, size);
          is_tq1 ? encode_tq1(in, d, out) : encode_tq2(in, d, out);
        }
      },
      [&](std::span<const uint8_t> bytes) { writer.write(bytes); });
  const auto write_scale = [&](size_t size) {
    std::vector<uint8_t> tail(size);
    floats_to(DType::f32, std::span(&entry.scale, 1), std::span(tail).first(sizeof(float)));
    writer.write(tail);
  };
  if (entry.type == GgufType::i2_s) write_scale(kI2sTail);
  if (entry.has_factor) write_scale(sizeof(float));
}

void write_dense(const ModelSource& source, const GgufEntry& entry, GgufWriter& writer) {
  parallel_rows_in_order(
      entry.spec.shape[0], rows_a_piece(columns(entry.spec)),
      [&](int64_t first, int64_t count, std::vector<uint8_t>& bytes) {
        const DType type = entry.type == GgufType::f16    ? DType::f16
                           : entry.type == GgufType::bf16 ? DType::bf16
                                                          : DType::f32;
        if (entry.type != GgufType::q8_0) return read_as(source, entry.spec, first, count, type, bytes);
        std::vector<uint8_t> floats;
        read_as(source, entry.spec, first, count, DType::f32, floats);
        std::vector<float> values(floats.size() / sizeof(float));
        floats_from(DType::f32, floats, values);
        bytes.resize(values.size() / 32 * 34);
        encode_q8_0(values, bytes);
      },
      [&](std::span<const uint8_t> bytes) { writer.write(bytes); });
}

}  // namespace

std::vector<PlannedTensor> plan_gguf(const ModelSource& source, const GgufExportOptions& options) {
  std::vector<PlannedTensor> plan;
  for (const GgufTensorDeclaration& tensor : declarations(layout(source, options))) {
    plan.push_back({tensor.name, gguf_type_name(tensor.type), tensor.shape});
  }
  return plan;
}

void export_gguf(const ModelSource& source, const ModelText& text, const std::string& path,
                 const GgufExportOptions& options, const OnTensor& on_tensor) {
  const std::vector<GgufEntry> entries = layout(source, options);
  GgufWriter writer(path, values(source, text, path, options), declarations(entries));
  for (const GgufEntry& entry : entries) {
    ExportedTensor tensor = exported(source, entry.spec);
    const int64_t elements = entry.spec.shape[0] * columns(entry.spec);
    tensor.bytes = *gguf_bytes(entry.type, elements, entry.spec.shape.back());
    tensor.type = gguf_type_name(entry.type);
    naming_source(source, entry.spec.name, [&] {
      if (tensor.ternary) {
        write_ternary(source, entry, options.i2s_order, writer, tensor);
      } else {
        write_dense(source, entry, writer);
      }
    });
    on_tensor(tensor);
  }
  writer.commit();
}

}  // namespace rotor::exporting
