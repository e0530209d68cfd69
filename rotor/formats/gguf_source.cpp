// Config and names first; rows are decoded when they are asked for.
#include "rotor/formats/gguf_source.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <set>

#include "rotor/core/dense.h"
#include "rotor/core/error.h"
#include "rotor/formats/dtype.h"
#include "rotor/formats/tensor_names.h"

namespace rotor {
namespace {

constexpr const char* kArchitectureKey = "general.architecture";
constexpr const char* kLayerPrefix = "model.layers.";

/// Parts of a layer's names here and there.
constexpr std::array<std::pair<const char*, const char*>, 11> kLayerNames = {{
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.attn_sub_norm", "attn_sub_norm"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.ffn_sub_norm", "ffn_sub_norm"},
    {"mlp.down_proj", "ffn_down"},
}};

/// The number that someone meant who wrote it as a float32: the shortest decimal that gives it, 1e-5 and not
/// 9.999999747378752e-06.
double as_meant(double number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.begin(), digits.end(), static_cast<float>(number)).ptr;
  double meant = number;
  std::from_chars(digits.begin(), end, meant);
  return meant;
}

bool is_ternary_type(GgufType type) {
  return type == GgufType::tq1_0 || type == GgufType::tq2_0 || type == GgufType::i2_s;
}

}  // namespace

std::string gguf_tensor_name(const std::string& name) {
  if (name == "model.embed_tokens.weight") return "token_embd.weight";
  if (name == "model.norm.weight") return "output_norm.weight";
  if (name == "lm_head.weight") return "output.weight";
  const size_t start = std::strlen(kLayerPrefix);
  const size_t dot = name.find('.', start);
  if (name.starts_with(kLayerPrefix) && dot != std::string::npos) {
    const size_t last_dot = name.rfind('.');
    const std::string part = name.substr(dot + 1, last_dot - dot - 1);
    for (const auto& [ours, theirs] : kLayerNames) {
      if (part == ours)
        return cat("blk.", name.substr(start, dot - start), ".", theirs, name.substr(last_dot));
    }
  }
  fail("tensor \"", name, "\" has no name in GGUF files");
}

std::string gguf_factor_name(const std::string& gguf_name) {
  return gguf_name.substr(0, gguf_name.size() - std::strlen("weight")) + "scale";
}

bool gguf_permutes(const ModelConfig& config, const TensorSpec& spec) {
  return config.model_type == "llama" &&
         (spec.name.ends_with("self_attn.q_proj.weight") || spec.name.ends_with("self_attn.k_proj.weight"));
}

int64_t gguf_rope_row(int64_t row, int64_t head_dim) {
  const int64_t in_head = row % head_dim;
  const int64_t half = head_dim / 2;
  return row - in_head + in_head % half * 2 + in_head / half;
}

GgufSource::GgufSource(const std::string& path, const GgufOptions& options)
    : file_(path), options_(options), config_(read_config()) {
  check_tensors();
}

ModelConfig GgufSource::read_config() const {
  const std::string architecture(file_.text(kArchitectureKey));
  // llama.cpp has the names of Hugging Face for these.
  const bool same_name = architecture == "llama" || architecture == "qwen2";
  if (!same_name && architecture != "bitnet" && architecture != "bitnet-b1.58" &&
      architecture != "bitnet-25") {
    fail(path(), ": ", kArchitectureKey,
         ": expected bitnet, bitnet-b1.58, bitnet-25, llama or qwen2, found \"", architecture, "\"");
  }
  const auto key = [&](const char* name) { return cat(architecture, ".", name); };
  const auto integer_or = [&](const char* name, int64_t fallback) {
    return file_.has(key(name)) ? file_.integer(key(name)) : fallback;
  };
  ModelConfig config;
  config.model_type = same_name ? architecture : "bitnet";
  TransformerConfig& t = config.transformer;
  t.hidden_size = file_.integer(key("embedding_length"));
  t.intermediate_size = file_.integer(key("feed_forward_length"));
  t.num_hidden_layers = file_.integer(key("block_count"));
  t.num_attention_heads = file_.integer(key("attention.head_count"));
  t.num_key_value_heads = integer_or("attention.head_count_kv", t.num_attention_heads);
  const int64_t whole_head = t.num_attention_heads > 0 ? t.hidden_size / t.num_attention_heads : 0;
  t.head_dim = integer_or("rope.dimension_count", integer_or("attention.key_length", whole_head));
  t.max_position_embeddings = file_.integer(key("context_length"));
  t.rms_norm_eps = as_meant(file_.number(key("attention.layer_norm_rms_epsilon")));
  t.rope_theta = file_.has(key("rope.freq_base")) ? as_meant(file_.number(key("rope.freq_base"))) : 10000.0;
  // Mainline's graph of "bitnet" has silu; 2B4T, which has squared ReLU, goes by the other names.
  t.hidden_act = same_name || architecture == "bitnet" ? Activation::silu : Activation::relu2;
  t.tie_word_embeddings = file_.find("output.weight") == nullptr;
  const GgufTensorInfo* embedding = file_.find("token_embd.weight");
  if (embedding == nullptr) fail(path(), ": tensor \"token_embd.weight\" is missing");
  t.vocab_size = integer_or("vocab_size", embedding->shape.front());
  if (const std::string scaling = key("rope.scaling.type"); file_.has(scaling)) {
    const std::string_view type = file_.text(scaling);
    const std::string factor = key("rope.scaling.factor");
    if (type != "none" && !(type == "linear" && file_.has(factor) && file_.number(factor) == 1.0)) {
      fail(path(), ": key \"", scaling, "\": expected none, or linear with a factor of 1, found \"", type,
           "\"");
    }
  }
  if (file_.has("tokenizer.ggml.bos_token_id")) t.bos_token_id = file_.integer("tokenizer.ggml.bos_token_id");
  if (file_.has("tokenizer.ggml.eos_token_id"))
    t.eos_token_ids = {file_.integer("tokenizer.ggml.eos_token_id")};
  try {
    config.validate();
  } catch (const Error& e) {
    fail(path(), ": ", e.what());
  }
  return config;
}

void GgufSource::check_tensors() const {
  std::set<std::string> expected;
  std::set<std::string> found;
  for (const GgufTensorInfo& tensor : file_.tensors()) found.insert(tensor.name);
  for (const TensorSpec& spec : tensor_table(config_)) {
    const std::string name = gguf_tensor_name(spec.name);
    expected.insert(name);
    if (is_ternary(config_, spec)) found.erase(gguf_factor_name(name));
  }
  found.erase("rope_freqs.weight");  // a table that follows from the config
  check_tensor_names(path(), expected, found, options_.ignore_unknown);
  for (const TensorSpec& spec : tensor_table(config_)) {
    const GgufTensorInfo& tensor = at(spec);
    const std::string where = cat(path(), ": tensor \"", tensor.name, "\": ");
    if (tensor.shape != spec.shape) {
      const auto text = [](const std::vector<int64_t>& shape) {
        return shape.size() == 1 ? cat("[", shape[0], "]") : cat("[", shape[0], ", ", shape[1], "]");
      };
      if (tensor.shape.size() > 2) fail(where, "expected at most 2 dimensions, found ", tensor.shape.size());
      fail(where, "expected shape ", text(spec.shape), ", found ", text(tensor.shape));
    }
    if (is_ternary(config_, spec)) {
      if (!is_ternary_type(tensor.type)) {
        fail(where, "expected ternary values (TQ1_0, TQ2_0 or I2_S), found ", gguf_type_name(tensor.type),
             tensor.type == GgufType::f16 || tensor.type == GgufType::f32 || tensor.type == GgufType::bf16
                 ? ": scales of float files are not to be trusted; convert from the Hugging Face checkpoint"
                 : "");
      }
      continue;
    }
    if (is_ternary_type(tensor.type) || !gguf_bytes(tensor.type, tensor.elements(), tensor.shape.back())) {
      fail(where, "expected F32, F16, BF16, Q8_0, Q6_K or Q4_0, found ", gguf_type_name(tensor.type));
    }
    // A vector is read by its values, of which blocks hold many.
    if (spec.shape.size() == 1 && tensor.type != GgufType::f32 && tensor.type != GgufType::f16 &&
        tensor.type != GgufType::bf16) {
      fail(where, "expected F32, F16 or BF16, found ", gguf_type_name(tensor.type));
    }
  }
}

const GgufTensorInfo& GgufSource::at(const TensorSpec& spec) const {
  return *file_.find(gguf_tensor_name(spec.name));
}

std::string GgufSource::format() const {
  const auto table = tensor_table(config_);
  const auto ternary =
      std::ranges::find_if(table, [&](const TensorSpec& spec) { return is_ternary(config_, spec); });
  return cat("GGUF, ", gguf_type_name(at(*ternary).type));
}

std::string GgufSource::scale_convention() const {
  return format().ends_with("I2_S") ? "weight = code * the float32 behind the matrix"
                                    : "weight = code * d of its block, one in all blocks of a matrix";
}

size_t GgufSource::stored_bytes(const TensorSpec& spec) const {
  return at(spec).end - at(spec).begin;
}

float GgufSource::scale(const TensorSpec& spec) const {
  const GgufTensorInfo& tensor = at(spec);
  const std::string where = cat(path(), ": tensor \"", tensor.name, "\": ");
  const auto bytes = file_.bytes(tensor);
  float scale = 0.0F;
  if (tensor.type == GgufType::i2_s) {
    std::memcpy(&scale, bytes.data() + tensor.elements() / 4, sizeof(scale));
  } else {
    // Each block has a scale: they are one, but for blocks of zeros, whose scale is 0.
    const size_t size = tensor.type == GgufType::tq1_0 ? kTq1Bytes : kTq2Bytes;
    for (size_t block = 0; block < bytes.size() / size; ++block) {
      uint16_t d = 0;
      std::memcpy(&d, bytes.data() + (block + 1) * size - sizeof(d), sizeof(d));
      const float of_block = f16_to_float(d);
      if (of_block == 0.0F) continue;
      if (scale == 0.0F) scale = of_block;
      if (of_block != scale) {
        fail(where, "block ", block, " has the scale ", of_block, ", earlier ones have ", scale,
             ": this is no matrix of one scale, as BitNet's are");
      }
    }
    if (scale == 0.0F) scale = 1.0F;  // a matrix of zeros
  }
  if (const GgufTensorInfo* factor = file_.find(gguf_factor_name(tensor.name)); factor != nullptr) {
    if (factor->type != GgufType::f32 || factor->elements() != 1) {
      fail(path(), ": tensor \"", factor->name, "\": expected one F32 value");
    }
    float value = 0.0F;
    std::memcpy(&value, file_.bytes(*factor).data(), sizeof(value));
    scale *= value;
  }
  file_.check_intact();
  if (!(scale > 0.0F) || !std::isfinite(scale)) fail(where, "expected a finite scale above 0, found ", scale);
  return scale;
}

/// Where a row lies in the file.
int64_t GgufSource::stored_row(const TensorSpec& spec, int64_t row) const {
  return gguf_permutes(config_, spec) ? gguf_rope_row(row, config_.transformer.head_dim) : row;
}

void GgufSource::read_row(const TensorSpec& spec, const GgufTensorInfo& tensor, int64_t row,
                          std::span<int8_t> trits) const {
  const auto bytes = file_.bytes(tensor);
  const auto cols = static_cast<size_t>(spec.shape[1]);
  const size_t first = static_cast<size_t>(stored_row(spec, row)) * cols;
  if (tensor.type == GgufType::i2_s) {
    // Blocks lie over the flattened matrix: a row may begin and end within one.
    const size_t block = i2s_block(options_.i2s_order);
    const size_t begin = first / block * block;
    const size_t end =
        std::min((first + cols + block - 1) / block * block, static_cast<size_t>(tensor.elements()));
    if ((end - begin) % block != 0) {
      fail("I2_S: expected a multiple of ", block, " elements, found ", tensor.elements());
    }
    std::vector<int8_t> whole(end - begin);
    decode_i2s(bytes.subspan(begin / 4, whole.size() / 4), options_.i2s_order, whole);
    std::copy_n(whole.begin() + static_cast<std::ptrdiff_t>(first - begin), cols, trits.begin());
    return;
  }
  const bool is_tq1 = tensor.type == GgufType::tq1_0;
  const size_t size = is_tq1 ? kTq1Bytes : kTq2Bytes;
  for (size_t c = 0; c < cols; c += kTernaryBlock) {
    const auto block = bytes.subspan((first + c) / kTernaryBlock * size, size);
    const auto values = trits.subspan(c, kTernaryBlock);
    const uint16_t d = is_tq1 ? decode_tq1(block, values) : decode_tq2(block, values);
    if (f16_to_float(d) == 0.0F) std::ranges::fill(values, int8_t{0});
  }
}

void GgufSource::read_trits(const TensorSpec& spec, int64_t first, int64_t rows,
                            std::span<int8_t> trits) const {
  const GgufTensorInfo& tensor = at(spec);
  const auto cols = static_cast<size_t>(spec.shape[1]);
  for (int64_t r = 0; r < rows; ++r) {
    try {
      read_row(spec, tensor, first + r, trits.subspan(static_cast<size_t>(r) * cols, cols));
    } catch (const Error& e) {
      fail(path(), ": tensor \"", tensor.name, "\": row ", first + r, ": ", e.what());
    }
  }
  file_.check_intact();
}

void GgufSource::read_floats(const TensorSpec& spec, int64_t first, int64_t rows,
                             std::span<float> values) const {
  const GgufTensorInfo& tensor = at(spec);
  const int64_t cols = spec.shape.size() == 2 ? spec.shape[1] : 1;
  const auto row_bytes = static_cast<size_t>(stored_bytes(spec)) / static_cast<size_t>(spec.shape[0]);
  const auto bytes = file_.bytes(tensor).subspan(static_cast<size_t>(first) * row_bytes,
                                                 static_cast<size_t>(rows) * row_bytes);
  values = values.first(static_cast<size_t>(rows * cols));
  switch (tensor.type) {
    case GgufType::q8_0:
      decode_q8_0(bytes, values);
      break;
    case GgufType::q4_0:
      decode_q4_0(bytes, values);
      break;
    case GgufType::q6_k:
      decode_q6_k(bytes, values);
      break;
    default:
      floats_from(tensor.type == GgufType::f32   ? DType::f32
                  : tensor.type == GgufType::f16 ? DType::f16
                                                 : DType::bf16,
                  bytes, values);
  }
  file_.check_intact();
}

}  // namespace rotor
