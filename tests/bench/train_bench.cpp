// Training steps of the ternary transformer, of its float twin, and of the same network written in plain
// LibTorch modules, interleaved in one run. docs/benchmarks.md holds results.
//
//   train_bench [CONFIG.yaml, default configs/quickstart.yaml] [threads] [rounds]
#include <torch/torch.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>

#include "rotor/tool/main.h"
#include "train/cli/blas.h"
#include "train/config/train_config.h"
#include "train/models/transformer.h"
#include "train/trainer/optimizer.h"

namespace {

using namespace rotor;
using torch::Tensor;
using train::TrainConfig;
namespace nn = torch::nn;

/// The float twin's block as one would write it with torch::nn.
struct PlainLayerImpl : nn::Module {
  explicit PlainLayerImpl(const TransformerConfig& config) : t(config) {
    const auto linear = [&](const char* name, int64_t in, int64_t out) {
      return register_module(name, nn::Linear(nn::LinearOptions(in, out).bias(false)));
    };
    q = linear("q", t.hidden_size, t.query_size());
    k = linear("k", t.hidden_size, t.key_value_size());
    v = linear("v", t.hidden_size, t.key_value_size());
    o = linear("o", t.query_size(), t.hidden_size);
    gate = linear("gate", t.hidden_size, t.intermediate_size);
    up = linear("up", t.hidden_size, t.intermediate_size);
    down = linear("down", t.intermediate_size, t.hidden_size);
    const auto gain = [&](const char* name, int64_t size) {
      return register_parameter(name, torch::ones({size}));
    };
    input_norm = gain("input_norm", t.hidden_size);
    sub_norm = gain("sub_norm", t.query_size());
    post_norm = gain("post_norm", t.hidden_size);
    ffn_norm = gain("ffn_norm", t.intermediate_size);
  }
  Tensor norm(const Tensor& x, const Tensor& weight) const {
    return x * torch::rsqrt(x.pow(2).mean(-1, true) + t.rms_norm_eps) * weight;
  }
  static Tensor rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
    const auto halves = x.chunk(2, -1);
    return x * cos + torch::cat({-halves[1], halves[0]}, -1) * sin;
  }
  /// cos, sin [T, head_dim]; mask [T, T].
  Tensor forward(const Tensor& hidden, const Tensor& cos, const Tensor& sin, const Tensor& mask) {
    const int64_t batch = hidden.size(0);
    const int64_t length = hidden.size(1);
    const auto heads = [&](const Tensor& x, int64_t count) {
      return x.view({batch, length, count, t.head_dim}).transpose(1, 2);
    };
    const Tensor n = norm(hidden, input_norm);
    const Tensor queries = rotate(heads(q(n), t.num_attention_heads), cos, sin);
    const int64_t group = t.num_attention_heads / t.num_key_value_heads;
    const Tensor keys = rotate(heads(k(n), t.num_key_value_heads), cos, sin).repeat_interleave(group, 1);
    const Tensor values = heads(v(n), t.num_key_value_heads).repeat_interleave(group, 1);
    const Tensor scores =
        torch::matmul(queries, keys.transpose(-2, -1)) / std::sqrt(static_cast<double>(t.head_dim)) + mask;
    const Tensor mixed = torch::matmul(torch::softmax(scores, -1), values)
                             .transpose(1, 2)
                             .reshape({batch, length, t.query_size()});
    const Tensor middle = hidden + o(norm(mixed, sub_norm));
    const Tensor m = norm(middle, post_norm);
    return middle + down(norm(torch::relu(gate(m)).pow(2) * up(m), ffn_norm));
  }

  TransformerConfig t;
  nn::Linear q = nullptr, k = nullptr, v = nullptr, o = nullptr, gate = nullptr, up = nullptr, down = nullptr;
  Tensor input_norm, sub_norm, post_norm, ffn_norm;
};
TORCH_MODULE(PlainLayer);

struct PlainModelImpl : nn::Module {
  explicit PlainModelImpl(const TransformerConfig& config) : t(config) {
    embedding = register_module("embedding", nn::Embedding(t.vocab_size, t.hidden_size));
    layers = register_module("layers", nn::ModuleList());
    for (int64_t i = 0; i < t.num_hidden_layers; ++i) layers->push_back(PlainLayer(t));
    final_norm = register_parameter("final_norm", torch::ones({t.hidden_size}));
  }
  Tensor forward(const Tensor& ids) {
    const int64_t length = ids.size(1);
    const Tensor pairs =
        torch::arange(0, t.head_dim, 2).to(torch::kFloat32) / static_cast<double>(t.head_dim);
    const Tensor angles =
        torch::outer(torch::arange(length).to(torch::kFloat32), torch::pow(t.rope_theta, -pairs));
    const Tensor both = torch::cat({angles, angles}, -1);
    const Tensor mask = torch::full({length, length}, -INFINITY).triu(1);
    Tensor hidden = embedding(ids);
    for (const auto& layer : *layers) {
      hidden = layer->as<PlainLayer>()->forward(hidden, both.cos(), both.sin(), mask);
    }
    hidden = hidden * torch::rsqrt(hidden.pow(2).mean(-1, true) + t.rms_norm_eps) * final_norm;
    return torch::matmul(hidden, embedding->weight.t());
  }

  TransformerConfig t;
  nn::Embedding embedding = nullptr;
  nn::ModuleList layers = nullptr;
  Tensor final_norm;
};
TORCH_MODULE(PlainModel);

struct Contestant {
  const char* name;
  nn::Module* module;
  std::function<Tensor(const Tensor&)> forward;
  std::unique_ptr<torch::optim::Optimizer> optimizer;
  std::vector<double> seconds;

  void step(const Tensor& ids) {
    const auto start = std::chrono::steady_clock::now();
    optimizer->zero_grad();
    const Tensor logits = forward(ids.narrow(1, 0, ids.size(1) - 1));
    nn::functional::cross_entropy(logits.reshape({-1, logits.size(-1)}),
                                  ids.narrow(1, 1, ids.size(1) - 1).reshape(-1))
        .backward();
    nn::utils::clip_grad_norm_(module->parameters(), 1.0);
    train::step(*optimizer);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  double median() const {
    std::vector<double> sorted(seconds.begin() + 1, seconds.end());  // the first one warms up
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
};

int run(int argc, char** argv) {
  TrainConfig config = train::load_train_config(argc > 1 ? argv[1] : "configs/quickstart.yaml", {});
  config.threads = argc > 2 ? std::stoll(argv[2]) : 2;
  const int rounds = argc > 3 ? std::stoi(argv[3]) : 21;
  train::cli::use_fast_blas();
  at::set_num_threads(static_cast<int>(config.threads));
  TransformerConfig& t = config.model.transformer;
  if (t.vocab_size == 0) t.vocab_size = std::max<int64_t>(config.tokenizer.vocab_size, 69);
  ModelConfig twin = config.model;
  twin.quantization = Quantization::none;
  train::Transformer ternary(config.model);
  train::Transformer floating(twin);
  PlainModel plain(t);
  std::vector<Contestant> contestants;
  contestants.push_back({"ternary", ternary.get(), [&](const Tensor& x) { return ternary(x); }, nullptr, {}});
  contestants.push_back(
      {"float twin", floating.get(), [&](const Tensor& x) { return floating(x); }, nullptr, {}});
  contestants.push_back(
      {"plain LibTorch", plain.get(), [&](const Tensor& x) { return plain(x); }, nullptr, {}});
  for (Contestant& c : contestants) c.optimizer = train::make_optimizer(*c.module, config.optimizer);
  for (int round = 0; round <= rounds; ++round) {
    const Tensor ids = torch::randint(0, t.vocab_size, {config.batch_size, config.text.block_size + 1});
    for (Contestant& c : contestants) c.step(ids);
  }
  const double tokens = static_cast<double>(config.batch_size * config.text.block_size);
  const double reference = contestants[1].median();
  for (const Contestant& c : contestants) {
    std::printf("%-15s %8.1f ms a step, %8.0f tokens/s, %.3f of the float twin's speed\n", c.name,
                1e3 * c.median(), tokens / c.median(), reference / c.median());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  train::cli::remember_arguments(argc, argv);
  return tool::run_guarded("train_bench", [&] { return run(argc, argv); });
}
