// Losses beside cross entropy, against their formulas written out in loops.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>
#include <vector>

#include "train/data/text_dataset.h"
#include "train/trainer/distillation.h"
#include "train/trainer/preference_task.h"

namespace rotor::train {
namespace {

using Row = std::vector<double>;

Row row_of(const torch::Tensor& tensor) {
  const torch::Tensor values = tensor.to(torch::kFloat64).contiguous();
  return {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()};
}

Row softmax(Row scores) {
  double sum = 0.0;
  for (double& score : scores) sum += score = std::exp(score);
  for (double& score : scores) score /= sum;
  return scores;
}

double divergence(const Row& p, const Row& q) {
  double sum = 0.0;
  for (size_t i = 0; i < p.size(); ++i) sum += p[i] * std::log(p[i] / q[i]);
  return sum;
}

TEST(PreferenceLoss, IsTheFormulaOfThePaper) {
  const torch::Tensor gained = torch::tensor({{1.0F, -0.5F}, {0.2F, 0.7F}});
  const auto of_margin = [](double margin) { return std::log1p(std::exp(-margin)); };
  for (const double beta : {0.1, 0.5}) {
    const double expected = (of_margin(beta * 1.5) + of_margin(beta * -0.5)) / 2;
    EXPECT_NEAR(preference_loss(gained, beta).item<double>(), expected, 1e-6);
  }
}

TEST(LogitsDivergence, IsOfSoftenedPredictionsWhereThereIsATarget) {
  torch::manual_seed(1);
  const torch::Tensor teacher = torch::randn({5, 7});
  const torch::Tensor student = torch::randn({5, 7});
  const torch::Tensor targets = torch::tensor({int64_t{3}, kNoTarget, int64_t{0}, int64_t{6}, kNoTarget});
  for (const double temperature : {1.0, 2.5}) {
    double expected = 0.0;
    for (const int64_t row : {0, 2, 3}) {
      expected += divergence(softmax(row_of(teacher[row] / temperature)),
                             softmax(row_of(student[row] / temperature))) /
                  3;
    }
    EXPECT_NEAR(logits_divergence(teacher, student, targets, temperature).item<double>(),
                expected * temperature * temperature, 1e-5);
  }
}

/// Of token `i` and head `head` of a row: softmax over the tokens that it looks at.
Row relations(const torch::Tensor& hidden, const Row& segments, int64_t i, int64_t head, int64_t width) {
  const auto unit = [&](int64_t token) {
    Row h = row_of(hidden[token].narrow(0, head * width, width));
    double squares = 0.0;
    for (const double value : h) squares += value * value;
    for (double& value : h) value /= std::sqrt(squares / static_cast<double>(width));
    return h;
  };
  Row scores;
  for (int64_t j = 0; j <= i; ++j) {
    if (segments[static_cast<size_t>(j)] != segments[static_cast<size_t>(i)]) continue;
    const Row a = unit(i);
    const Row b = unit(j);
    double dot = 0.0;
    for (size_t k = 0; k < a.size(); ++k) dot += a[k] * b[k];
    scores.push_back(dot / std::sqrt(static_cast<double>(width)));
  }
  return softmax(scores);
}

TEST(RelationDivergence, IsOfEarlierTokensOfTheSegment) {
  torch::manual_seed(2);
  constexpr int64_t kHeads = 2;
  constexpr int64_t kLength = 5;
  const torch::Tensor teacher = torch::randn({2, kLength, 6});
  const torch::Tensor student = torch::randn({2, kLength, 4});
  const torch::Tensor packed = torch::tensor({{0, 0, 0, 1, 1}, {0, 1, 1, 1, 2}}, torch::kInt64);
  for (const torch::Tensor& segments : {packed, torch::Tensor()}) {
    double expected = 0.0;
    for (int64_t row = 0; row < 2; ++row) {
      const Row of_row = segments.defined() ? row_of(segments[row]) : Row(kLength, 0.0);
      for (int64_t head = 0; head < kHeads; ++head) {
        for (int64_t i = 0; i < kLength; ++i) {
          expected += divergence(relations(teacher[row], of_row, i, head, 3),
                                 relations(student[row], of_row, i, head, 2)) /
                      (2 * kHeads * kLength);
        }
      }
    }
    EXPECT_NEAR(relation_divergence(teacher, student, segments, kHeads).item<double>(), expected, 1e-5);
  }
}

}  // namespace
}  // namespace rotor::train
