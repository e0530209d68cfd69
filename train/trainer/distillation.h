// Learning from a teacher: a larger model whose predictions, and relations between hidden states, a student
// learns beside the data. That is how a dense model becomes a good ternary one.
#pragma once

#include <torch/torch.h>

#include "rotor/text/open_source.h"
#include "rotor/text/tokenizer.h"
#include "train/config/train_config.h"
#include "train/models/transformer.h"

namespace rotor::train {

/// temperature^2 * mean KL(teacher || student) over the rows with a target (Hinton et al., arXiv 1503.02531).
/// Logits [rows, vocab_size]; targets [rows], kNoTarget where nothing is predicted.
torch::Tensor logits_divergence(const torch::Tensor& teacher, const torch::Tensor& student,
                                const torch::Tensor& targets, double temperature);

/// Mean KL(teacher || student) of relations: softmax over earlier tokens of the segment of h_i h_j^T /
/// sqrt(d), h being the hidden states of a head with root mean square 1 (after MiniLMv2, Wang et al., arXiv
/// 2012.15828). Hidden states [B, T, width], of which each has its own width; segments [B, T] or undefined.
torch::Tensor relation_divergence(const torch::Tensor& teacher, const torch::Tensor& student,
                                  const torch::Tensor& segments, int64_t heads);

class Distillation {
 public:
  /// A batch as the model saw it.
  struct Rows {
    torch::Tensor inputs;    ///< int64 [B, T]
    torch::Tensor targets;   ///< int64 [B * T], kNoTarget where nothing is predicted
    torch::Tensor segments;  ///< int64 [B, T] or undefined
  };

  /// `opened`: config.teacher, whose weights are copied. Throws Error if its tokens are not the student's, or
  /// if hidden states cannot be split into the heads that the config asks for.
  Distillation(const DistillConfig& config, const text::OpenedSource& opened, TransformerOptions options,
               const ModelConfig& student, const text::Tokenizer& tokenizer, torch::Device device);

  /// The layer of which loss() wants the hidden states (Observer's number); -1: none.
  int64_t student_layer() const { return student_layer_; }

  /// data_weight * cross_entropy + logits_weight * logits_divergence + relation_weight * relation_divergence.
  /// `logits`: the student's, [B * T, vocab_size]; `hidden`: [B, T, hidden_size] of student_layer().
  torch::Tensor loss(const torch::Tensor& cross_entropy, const Rows& rows, const torch::Tensor& logits,
                     const torch::Tensor& hidden);

 private:
  DistillConfig config_;
  int64_t student_layer_ = -1;
  int64_t teacher_layer_ = -1;
  Transformer teacher_ = nullptr;
};

}  // namespace rotor::train
