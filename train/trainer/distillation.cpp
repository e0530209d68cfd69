// The teacher computes without gradients, from planes if it is ternary.
#include "train/trainer/distillation.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/tool/progress.h"
#include "train/data/text_dataset.h"
#include "train/models/attention.h"
#include "train/models/parameters.h"

namespace rotor::train {
namespace {

void require_same_tokens(const std::string& path, const ModelConfig& teacher, const text::Tokenizer* theirs,
                         const ModelConfig& student, const text::Tokenizer& ours) {
  if (teacher.transformer.vocab_size != student.transformer.vocab_size) {
    fail(path, ": distill.teacher: expected the student's vocabulary of ", student.transformer.vocab_size,
         " tokens, found ", teacher.transformer.vocab_size);
  }
  if (theirs == nullptr) return;
  const int64_t count = std::min(theirs->vocab_size(), ours.vocab_size());
  for (text::TokenId id = 0; id < count; ++id) {
    if (theirs->token_bytes(id, false) != ours.token_bytes(id, false)) {
      fail(path, ": distill.teacher: token ", id,
           " is another one than the student's: the two must share a tokenizer");
    }
  }
}

void require_heads(const std::string& what, int64_t width, int64_t heads) {
  if (width % heads != 0) {
    fail("distill.relation_heads: expected a divisor of the ", what, "'s hidden_size of ", width, ", found ",
         heads);
  }
}

torch::Tensor log_relations(const torch::Tensor& hidden, const torch::Tensor& segments, int64_t heads) {
  const int64_t length = hidden.size(1);
  const int64_t width = hidden.size(2) / heads;
  torch::Tensor h = hidden.view({hidden.size(0), length, heads, width}).transpose(1, 2);
  h = h * torch::rsqrt(h.square().mean(-1, /*keepdim=*/true) + 1e-6);
  torch::Tensor forbidden = forbidden_pairs(length, segments, h.device());
  if (segments.defined()) forbidden = forbidden.unsqueeze(1);  // alike for all heads
  const torch::Tensor scores = torch::matmul(h, h.transpose(-2, -1)) / std::sqrt(static_cast<double>(width));
  return torch::log_softmax(scores.masked_fill(forbidden, -std::numeric_limits<float>::infinity()), -1);
}

}  // namespace

torch::Tensor logits_divergence(const torch::Tensor& teacher, const torch::Tensor& student,
                                const torch::Tensor& targets, double temperature) {
  const torch::Tensor predicted = targets.ne(kNoTarget).nonzero().squeeze(1);
  const auto softened = [&](const torch::Tensor& logits) {
    return torch::log_softmax(logits.index_select(0, predicted) / temperature, -1);
  };
  const torch::Tensor theirs = softened(teacher);
  return (theirs.exp() * (theirs - softened(student))).sum(-1).mean() * (temperature * temperature);
}

torch::Tensor relation_divergence(const torch::Tensor& teacher, const torch::Tensor& student,
                                  const torch::Tensor& segments, int64_t heads) {
  const torch::Tensor theirs = log_relations(teacher, segments, heads).detach();
  const torch::Tensor ours = log_relations(student, segments, heads);
  // Where a token may not be looked at both are -inf, and their difference is nothing.
  const torch::Tensor difference = (theirs - ours).masked_fill(theirs.isinf(), 0.0);
  return (theirs.exp() * difference).sum(-1).mean();
}

Distillation::Distillation(const DistillConfig& config, const text::OpenedSource& opened,
                           TransformerOptions options, const ModelConfig& student,
                           const text::Tokenizer& tokenizer, torch::Device device)
    : config_(config) {
  const ModelConfig& teacher = opened.model->config();
  if (!teacher.is_transformer())
    fail(config.teacher, ": distill.teacher: expected a language model, found an mlp");
  require_same_tokens(config.teacher, teacher, opened.text.tokenizer.get(), student, tokenizer);
  const int64_t layers = student.transformer.num_hidden_layers;
  if (config.relation_weight > 0) {
    student_layer_ = config.relation_layer == 0 ? layers : config.relation_layer;
    if (student_layer_ > layers) {
      fail("distill.relation_layer: expected 1 to ", layers, ", found ", config.relation_layer);
    }
    teacher_layer_ = std::max<int64_t>(1, student_layer_ * teacher.transformer.num_hidden_layers / layers);
    require_heads("student", student.transformer.hidden_size, config.relation_heads);
    require_heads("teacher", teacher.transformer.hidden_size, config.relation_heads);
  }
  options.activation_checkpointing = false;
  options.lora = nullptr;
  options.frozen = true;
  teacher_ = Transformer(teacher, options);
  tool::Progress progress("loading " + config.teacher, static_cast<int64_t>(tensor_table(teacher).size()));
  int64_t done = 0;
  load_masters(*teacher_, *opened.model, [&] { progress.update(++done, ""); });
  progress.finish(cat("the teacher, ", opened.model->format()));
  teacher_->to(device);
  teacher_->eval();
}

torch::Tensor Distillation::loss(const torch::Tensor& cross_entropy, const Rows& rows,
                                 const torch::Tensor& logits, const torch::Tensor& hidden) {
  torch::Tensor teacher_hidden;
  torch::Tensor teacher_logits;
  {
    const torch::NoGradGuard no_grad;
    teacher_logits =
        teacher_->forward_observed(rows.inputs, rows.segments, [&](int64_t layer, const torch::Tensor& h) {
          if (layer == teacher_layer_) teacher_hidden = h;
        });
  }
  torch::Tensor total = cross_entropy * config_.data_weight;
  if (config_.logits_weight > 0) {
    total = total + logits_divergence(teacher_logits.reshape({-1, teacher_logits.size(-1)}), logits,
                                      rows.targets, config_.temperature) *
                        config_.logits_weight;
  }
  if (config_.relation_weight > 0) {
    total = total + relation_divergence(teacher_hidden, hidden, rows.segments, config_.relation_heads) *
                        config_.relation_weight;
  }
  return total;
}

}  // namespace rotor::train
