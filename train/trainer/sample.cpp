// Token by token; each is drawn by inverting the distribution at a number that depends on the seed alone.
#include "train/trainer/sample.h"

#include <algorithm>
#include <random>

#include "rotor/core/mix_seed.h"

namespace rotor::train {
namespace {

text::TokenId draw(const torch::Tensor& logits, double temperature, double uniform) {
  if (temperature <= 0.0) return static_cast<text::TokenId>(logits.argmax().item<int64_t>());
  const torch::Tensor sums =
      torch::softmax(logits.to(torch::kFloat64) / temperature, -1).cumsum(-1).contiguous();
  const auto* begin = sums.data_ptr<double>();
  const auto* end = begin + sums.numel();
  const auto* found = std::upper_bound(begin, end, uniform * end[-1]);
  return static_cast<text::TokenId>(std::min(found, end - 1) - begin);
}

/// Continues `ids` until one of `stops`, which is left out.
std::vector<text::TokenId> continue_tokens(Transformer& model, std::vector<text::TokenId> ids,
                                           const std::vector<text::TokenId>& stops, int64_t vocab_size,
                                           const SampleConfig& config, int64_t block_size, uint64_t seed,
                                           torch::Device device) {
  const torch::NoGradGuard no_grad;
  const bool was_training = model->is_training();
  model->eval();
  std::mt19937_64 random(seed);
  for (int64_t i = 0; i < config.tokens; ++i) {
    const auto length = std::min<int64_t>(static_cast<int64_t>(ids.size()), block_size);
    const std::vector<int64_t> context(ids.end() - length, ids.end());
    const torch::Tensor logits = model->forward(torch::tensor(context).unsqueeze(0).to(device));
    const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
    const text::TokenId id =
        draw(logits[0][-1].narrow(0, 0, vocab_size).to(torch::kCPU), config.temperature, uniform);
    if (std::ranges::find(stops, id) != stops.end()) break;
    ids.push_back(id);
  }
  model->train(was_training);
  return ids;
}

}  // namespace

std::string sample_text(Transformer& model, const text::Tokenizer& tokenizer, const SampleConfig& config,
                        int64_t block_size, uint64_t seed, torch::Device device) {
  const auto bos = model->config().transformer.bos_token_id;
  std::vector<text::TokenId> ids;
  if (bos) ids.push_back(static_cast<text::TokenId>(*bos));
  const auto prompt = tokenizer.encode(config.prompt.empty() && ids.empty() ? "\n" : config.prompt,
                                       text::SpecialTokens::as_text);
  ids.insert(ids.end(), prompt.begin(), prompt.end());
  std::vector<text::TokenId> stops;
  if (tokenizer.eos()) stops.push_back(*tokenizer.eos());
  ids =
      continue_tokens(model, std::move(ids), stops, tokenizer.vocab_size(), config, block_size, seed, device);
  return tokenizer.decode(std::span(ids).subspan(bos ? 1 : 0));
}

std::string sample_answer(Transformer& model, const text::Tokenizer& tokenizer, const std::string& prompt,
                          const std::vector<text::TokenId>& stops, const SampleConfig& config,
                          int64_t block_size, uint64_t seed, torch::Device device) {
  std::vector<text::TokenId> ids = tokenizer.encode(prompt, text::SpecialTokens::parse);
  if (ids.empty()) return "";
  return tokenizer.decode(continue_tokens(model, std::move(ids), stops, tokenizer.vocab_size(), config,
                                          block_size, seed, device));
}

}  // namespace rotor::train
