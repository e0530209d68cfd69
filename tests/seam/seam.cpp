// Runs both models layer by layer, with observers, and compares the codes that their quantizers make.
#include "tests/seam/seam.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <set>

#include "rotor/core/error.h"
#include "rotor/core/quantize.h"
#include "rotor/formats/config_json.h"
#include "train/data/image_dataset.h"

namespace rotor::test {
namespace {

using LayerInputs = std::vector<std::vector<float>>;  // [layer][batch * width]

LayerInputs torch_inputs(train::TernaryMlp& module, const torch::Tensor& images, torch::Tensor& logits) {
  LayerInputs inputs;
  logits = module->forward_observed(images, [&](int64_t, const torch::Tensor& x) {
    const torch::Tensor values = x.contiguous();
    inputs.emplace_back(values.data_ptr<float>(), values.data_ptr<float>() + values.numel());
  });
  return inputs;
}

LayerInputs packed_inputs(const runtime::Classifier& packed, runtime::Backend& backend,
                          const torch::Tensor& images, std::vector<float>& logits) {
  LayerInputs inputs;
  auto workspace = packed.model().make_workspace(backend, images.size(0));
  backend.upload({images.data_ptr<float>(), static_cast<size_t>(images.numel())}, workspace.input);
  const auto& output = packed.model().forward(backend, workspace, [&](int64_t, const runtime::Tensor& x) {
    inputs.emplace_back(static_cast<size_t>(x.rows * x.cols));
    backend.download(x, inputs.back());
  });
  logits.resize(static_cast<size_t>(output.rows * output.cols));
  backend.download(output, logits);
  return inputs;
}

/// Codes of one image's activations by the runtime's quantizer, and what each was before rounding.
struct Quantized {
  std::vector<int8_t> codes;
  std::vector<double> values;
};

Quantized quantize(std::span<const float> x, const ModelConfig& config) {
  Quantized result{std::vector<int8_t>(x.size()), std::vector<double>(x.begin(), x.end())};
  if (config.activation_quantization() == ActivationQuantization::ternary_threshold) {
    ternarize(x, static_cast<float>(config.mlp.sign_threshold), result.codes);
  } else {
    const float scale = quantize_int8(x, result.codes);
    for (size_t i = 0; i < x.size(); ++i) result.values[i] = static_cast<double>(x[i] * scale);
  }
  return result;
}

/// The same by the module's own quantizer.
Quantized quantize_as_module(std::span<const float> x, const ModelConfig& config) {
  if (config.activation_quantization() == ActivationQuantization::ternary_threshold)
    return quantize(x, config);
  const torch::Tensor row =
      torch::from_blob(const_cast<float*>(x.data()), {1, static_cast<int64_t>(x.size())}, torch::kFloat32);
  const train::QuantizedActivation quantized = train::quantize_activation(row);
  const torch::Tensor codes = quantized.codes.to(torch::kInt8).contiguous();
  const torch::Tensor values = (row * quantized.scale).to(torch::kFloat64).contiguous();
  return {{codes.data_ptr<int8_t>(), codes.data_ptr<int8_t>() + codes.numel()},
          {values.data_ptr<double>(), values.data_ptr<double>() + values.numel()}};
}

double tie_distance(double value, const ModelConfig& config) {
  if (config.activation_quantization() == ActivationQuantization::ternary_threshold) {
    return std::fabs(std::fabs(value) - config.mlp.sign_threshold);
  }
  return std::fabs(value - std::floor(value) - 0.5);
}

/// The differences in the first layer that has any.
std::vector<CodeDifference> first_differences(const LayerInputs& torch, const LayerInputs& packed, size_t row,
                                              int64_t image, const ModelConfig& config) {
  std::vector<CodeDifference> differences;
  for (size_t layer = 0; layer < torch.size() && differences.empty(); ++layer) {
    const auto width = static_cast<size_t>(config.mlp.layer_sizes[layer]);
    const Quantized a = quantize_as_module(std::span(torch[layer]).subspan(row * width, width), config);
    const Quantized b = quantize(std::span(packed[layer]).subspan(row * width, width), config);
    for (size_t unit = 0; unit < width; ++unit) {
      if (a.codes[unit] == b.codes[unit]) continue;
      differences.push_back({image, static_cast<int64_t>(layer), static_cast<int64_t>(unit), a.values[unit],
                             b.values[unit], tie_distance(a.values[unit], config)});
    }
  }
  return differences;
}

}  // namespace

SeamReport compare_seam(train::TernaryMlp& module, const runtime::Classifier& packed,
                        runtime::Backend& backend, const IdxDataset& data) {
  const torch::NoGradGuard no_grad;
  module->eval();
  const ModelConfig& config = module->config();
  if (model_config_to_json(config) != model_config_to_json(packed.model().config())) {
    fail("the checkpoint and the packed model have different configurations");
  }
  const auto classes = static_cast<size_t>(config.mlp.num_classes());
  const std::vector<float> table = pixel_table(config.mlp);
  const train::ImageDataset dataset(data);
  SeamReport report;
  report.images = dataset.size();
  for (int64_t first = 0; first < dataset.size(); first += 100) {
    std::vector<int64_t> indices(static_cast<size_t>(std::min<int64_t>(100, dataset.size() - first)));
    std::iota(indices.begin(), indices.end(), first);
    const train::Batch batch = dataset.batch(indices, table, torch::kCPU);
    torch::Tensor torch_logits;
    std::vector<float> packed_logits;
    const LayerInputs a = torch_inputs(module, batch.images, torch_logits);
    const LayerInputs b = packed_inputs(packed, backend, batch.images, packed_logits);
    const float* torch_values = torch_logits.contiguous().data_ptr<float>();
    for (size_t row = 0; row < indices.size(); ++row) {
      const std::span torch_row(torch_values + row * classes, classes);
      const std::span packed_row(packed_logits.data() + row * classes, classes);
      const auto torch_class = std::max_element(torch_row.begin(), torch_row.end()) - torch_row.begin();
      const auto packed_class = std::max_element(packed_row.begin(), packed_row.end()) - packed_row.begin();
      const bool differs = torch_class != packed_class;
      if (differs) report.differing_images.push_back(indices[row]);
      const auto differences = config.quantization == Quantization::ternary
                                   ? first_differences(a, b, row, indices[row], config)
                                   : std::vector<CodeDifference>();
      report.code_differences.insert(report.code_differences.end(), differences.begin(), differences.end());
      if (!differences.empty()) continue;
      for (size_t k = 0; k < classes; ++k) {
        report.largest_logit_difference = std::max(
            report.largest_logit_difference, std::fabs(static_cast<double>(torch_row[k] - packed_row[k])));
      }
      const double margin = static_cast<double>(torch_row[static_cast<size_t>(torch_class)]) -
                            static_cast<double>(torch_row[static_cast<size_t>(packed_class)]);
      if (differs && margin > kTieTolerance) report.unexplained.push_back(indices[row]);
    }
  }
  return report;
}

std::string describe(const SeamReport& report) {
  std::ostringstream out;
  out.precision(9);
  const std::set<int64_t> changed(report.differing_images.begin(), report.differing_images.end());
  for (const CodeDifference& d : report.code_differences) {
    if (!changed.contains(d.image)) continue;
    out << "image " << d.image << ", layer " << d.layer << ", unit " << d.unit << ": before rounding "
        << d.torch_value << " (LibTorch) and " << d.packed_value << " (packed), " << d.tie_distance
        << " from the tie\n";
  }
  for (const int64_t image : report.unexplained)
    out << "image " << image << ": classes differ without a tie\n";
  double farthest = 0.0;
  for (const CodeDifference& d : report.code_differences) farthest = std::max(farthest, d.tie_distance);
  out << report.images << " images: " << report.differing_images.size() << " classes differ, "
      << report.code_differences.size() << " quantized activations differ (farthest " << farthest
      << " from its tie), logits of all others within " << report.largest_logit_difference << "\n";
  return out.str();
}

bool acceptable(const SeamReport& report, size_t max_images) {
  const bool ties_only = std::all_of(
      report.code_differences.begin(), report.code_differences.end(), [](const CodeDifference& d) {
        return d.tie_distance <= kTieTolerance && std::fabs(d.torch_value - d.packed_value) <= kTieTolerance;
      });
  return report.images > 0 && report.differing_images.size() <= max_images && report.unexplained.empty() &&
         ties_only && report.largest_logit_difference <= kLogitTolerance;
}

}  // namespace rotor::test
