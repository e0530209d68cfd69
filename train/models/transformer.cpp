// The block, activation checkpointing, and the model around them.
#include "train/models/transformer.h"

#include "rotor/core/error.h"
#include "rotor/core/rope.h"
#include "rotor/core/tensor_table.h"
#include "train/models/activations.h"
#include "train/models/attention.h"

namespace rotor::train {
namespace {

/// A container, so that parameters are named self_attn.q_proj.weight and so on.
struct NamedModule : torch::nn::Module {
  template <class Holder>
  Holder add(const std::string& name, Holder module) {
    return register_module(name, module);
  }
};

/// The linear layer that the model's parameters call `name`.
TernaryLinear make_linear(const ModelConfig& config, const std::string& name, int64_t in, int64_t out,
                          const TransformerOptions& options, bool bias = false) {
  const bool ternary = config.is_ternary(name);
  TernaryLinearOptions layer(in, out);
  layer.bias(bias);
  layer.quantization(ternary ? Quantization::ternary : Quantization::none);
  layer.activation_quantization(options.float_activations ? ActivationQuantization::none
                                                          : config.activation_quantization());
  layer.compute(options.compute);
  if (ternary && config.transformer.use_rms_norm) layer.rms_norm_eps(config.transformer.linear_norm_eps);
  layer.packed(ternary && options.frozen);
  TernaryLinear linear(layer);
  if (options.lora != nullptr && name != "lm_head" && options.lora->adapts(name)) {
    linear->adapt(options.lora->rank_of(name), options.lora->scale_of(name), options.lora->dropout);
  }
  return linear;
}

}  // namespace

struct TransformerLayerImpl : torch::nn::Module {
  TransformerLayerImpl(const ModelConfig& config, int64_t index, const TransformerOptions& options_in)
      : t(config.transformer), options(options_in) {
    const auto linear = [&](const std::string& name, int64_t in, int64_t out, bool bias = false) {
      return make_linear(config, cat("model.layers.", index, ".", name), in, out, options, bias);
    };
    const bool bias = config.has_qkv_bias();
    const double eps = t.rms_norm_eps;
    input_layernorm = register_module("input_layernorm", RmsNorm(t.hidden_size, eps));
    auto attention = register_module("self_attn", std::make_shared<NamedModule>());
    qkv = LinearGroup(
        {attention->add("q_proj", linear("self_attn.q_proj", t.hidden_size, t.query_size(), bias)),
         attention->add("k_proj", linear("self_attn.k_proj", t.hidden_size, t.key_value_size(), bias)),
         attention->add("v_proj", linear("self_attn.v_proj", t.hidden_size, t.key_value_size(), bias))});
    if (config.has_sub_norms()) attn_sub_norm = attention->add("attn_sub_norm", RmsNorm(t.query_size(), eps));
    o = LinearGroup({attention->add("o_proj", linear("self_attn.o_proj", t.query_size(), t.hidden_size))});
    post_attention_layernorm = register_module("post_attention_layernorm", RmsNorm(t.hidden_size, eps));
    auto mlp = register_module("mlp", std::make_shared<NamedModule>());
    gate_up = LinearGroup({mlp->add("gate_proj", linear("mlp.gate_proj", t.hidden_size, t.intermediate_size)),
                           mlp->add("up_proj", linear("mlp.up_proj", t.hidden_size, t.intermediate_size))});
    if (config.has_sub_norms()) ffn_sub_norm = mlp->add("ffn_sub_norm", RmsNorm(t.intermediate_size, eps));
    down = LinearGroup({mlp->add("down_proj", linear("mlp.down_proj", t.intermediate_size, t.hidden_size))});
  }

  torch::Tensor forward(const torch::Tensor& hidden, const AttentionContext& context) {
    const int64_t batch = hidden.size(0);
    const int64_t length = hidden.size(1);
    const torch::Tensor projected = qkv.forward(input_layernorm(hidden));
    const auto heads = [&](int64_t first, int64_t count) {
      return projected.narrow(-1, first * t.head_dim, count * t.head_dim)
          .view({batch, length, count, t.head_dim});
    };
    const torch::Tensor q = rotate(heads(0, t.num_attention_heads), context);
    const torch::Tensor k = rotate(heads(t.num_attention_heads, t.num_key_value_heads), context);
    const torch::Tensor v = heads(t.num_attention_heads + t.num_key_value_heads, t.num_key_value_heads);
    torch::Tensor mixed = attend(q, k, v, context, options.compute);
    if (!attn_sub_norm.is_empty()) mixed = attn_sub_norm(mixed);
    const torch::Tensor middle = hidden + o.forward(mixed);

    const auto gate_and_up = gate_up.forward(post_attention_layernorm(middle)).chunk(2, -1);
    torch::Tensor inner = activate(gate_and_up[0], t.hidden_act, 0.0) * gate_and_up[1];
    if (!ffn_sub_norm.is_empty()) inner = ffn_sub_norm(inner);
    return middle + down.forward(inner);
  }

  TransformerConfig t;
  TransformerOptions options;
  RmsNorm input_layernorm = nullptr, post_attention_layernorm = nullptr;
  RmsNorm attn_sub_norm = nullptr, ffn_sub_norm = nullptr;
  LinearGroup qkv, o, gate_up, down;
};

namespace {

/// Runs a layer without remembering its inside, and once more, remembering it, for the backward pass (Chen et
/// al., arXiv 1604.06174).
struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  struct Layer : torch::CustomClassHolder {
    std::shared_ptr<TransformerLayerImpl> module;
    AttentionContext attention;
  };

  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& hidden,
                               const std::shared_ptr<TransformerLayerImpl>& module,
                               const AttentionContext& attention) {
    context->save_for_backward({hidden});
    auto layer = c10::make_intrusive<Layer>();
    layer->module = module;
    layer->attention = attention;
    context->saved_data["layer"] = c10::IValue::make_capsule(std::move(layer));
    context->saved_data["random"] = at::globalContext().defaultGenerator(hidden.device()).get_state();
    const torch::NoGradGuard no_grad;
    return module->forward(hidden, attention);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto capsule = context->saved_data["layer"].toCapsule();
    auto* layer = static_cast<Layer*>(capsule.get());
    const torch::AutoGradMode with_grad(true);
    const torch::Tensor hidden = context->get_saved_variables()[0].detach().requires_grad_(true);
    // Dropout is to drop the same: the generator goes back to where it was, and then on from where it is.
    at::Generator generator = at::globalContext().defaultGenerator(hidden.device());
    const torch::Tensor now = generator.get_state();
    generator.set_state(context->saved_data["random"].toTensor());
    const torch::Tensor output = layer->module->forward(hidden, layer->attention);
    generator.set_state(now);
    torch::autograd::backward({output}, {gradients[0]});
    return {hidden.grad(), torch::Tensor(), torch::Tensor()};
  }
};

const ModelConfig& checked(const ModelConfig& config) {
  config.validate();
  if (!config.is_transformer())
    fail("expected a language model (bitnet, llama or qwen2), found ", config.model_type);
  return config;
}

}  // namespace

TransformerImpl::TransformerImpl(const ModelConfig& config, const TransformerOptions& options)
    : torch::nn::Module("Transformer"), config_(checked(config)), options_(options) {
  const TransformerConfig& t = config_.transformer;
  auto model = register_module("model", std::make_shared<NamedModule>());
  embedding_ = model->add("embed_tokens", torch::nn::Embedding(t.vocab_size, t.hidden_size));
  auto layers = model->add("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < t.num_hidden_layers; ++i) {
    layers_.push_back(std::make_shared<TransformerLayerImpl>(config_, i, options_));
    layers->push_back(layers_.back());
  }
  norm_ = model->add("norm", RmsNorm(t.hidden_size, t.rms_norm_eps));
  if (!t.tie_word_embeddings) {
    lm_head_ =
        register_module("lm_head", make_linear(config_, "lm_head", t.hidden_size, t.vocab_size, options_));
  }
  const torch::NoGradGuard no_grad;
  for (const auto& parameter : named_parameters()) {
    const bool is_adapter = parameter.key().find(".lora_") != std::string::npos;
    if (options.frozen) parameter->set_requires_grad(is_adapter);
    if (parameter->dim() >= 2 && !is_adapter) parameter->normal_(0.0, t.initializer_range);
  }
}

void TransformerImpl::set_ternary_share(double share) {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* layer = dynamic_cast<TernaryLinearImpl*>(module.get())) layer->set_ternary_share(share);
  }
}

torch::Tensor TransformerImpl::head(const torch::Tensor& hidden) {
  if (!lm_head_.is_empty()) return lm_head_(hidden);
  const torch::Tensor weight = embedding_->weight.to(options_.compute);
  return torch::nn::functional::linear(hidden.to(options_.compute), weight).to(torch::kFloat32);
}

torch::Tensor TransformerImpl::forward(const torch::Tensor& ids, const torch::Tensor& segments) {
  return forward_observed(ids, segments, {});
}

torch::Tensor TransformerImpl::forward_observed(const torch::Tensor& ids, const torch::Tensor& segments,
                                                const Observer& observer) {
  const TransformerConfig& t = config_.transformer;
  const int64_t length = ids.size(1);
  if (length > t.max_position_embeddings) {
    fail("expected at most ", t.max_position_embeddings, " tokens (max_position_embeddings), found ", length);
  }
  if (!cos_.defined() || cos_.device() != ids.device()) {
    RopeTable table = rope_table(t.head_dim, t.rope_theta, t.max_position_embeddings);
    const std::vector<int64_t> shape = {t.max_position_embeddings, t.head_dim / 2};
    cos_ = torch::from_blob(table.cos.data(), shape).clone().to(ids.device());
    sin_ = torch::from_blob(table.sin.data(), shape).clone().to(ids.device());
  }
  const AttentionContext context = make_attention_context(cos_, sin_, length, segments);
  torch::Tensor hidden = embedding_(ids);
  if (observer) observer(0, hidden);
  const bool checkpointing = options_.activation_checkpointing && torch::GradMode::is_enabled();
  // A function without an input that wants a gradient is left out of the backward pass, with all inside it.
  if (checkpointing && !hidden.requires_grad()) hidden.requires_grad_(true);
  for (size_t i = 0; i < layers_.size(); ++i) {
    hidden = checkpointing ? CheckpointFunction::apply(hidden, layers_[i], context)
                           : layers_[i]->forward(hidden, context);
    if (observer) observer(static_cast<int64_t>(i) + 1, hidden);
  }
  hidden = norm_(hidden);
  if (observer) observer(t.num_hidden_layers + 1, hidden);
  return head(hidden);
}

}  // namespace rotor::train
