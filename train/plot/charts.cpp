// Which metrics share a chart, what stands on it, and in which order.
#include "train/plot/charts.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>

namespace rotor::train {
namespace {

constexpr size_t kCurvePoints = 2000;   // at most: about two a pixel
constexpr size_t kChartPoints = 40000;  // shared by its curves, which get at least kFewPoints each
constexpr size_t kFewPoints = 200;
constexpr std::string_view kEvalPrefix = "eval_";
constexpr const char* kAllLayers = "all";  // what telemetry calls its sums

/// How one chart is shown.
struct ChartStyle {
  const char* key;
  const char* title;
  const char* format;  ///< "number" | "percent"
  bool from_zero;      ///< the axis begins at 0
  bool smooth = true;  ///< noisy: follows the page's smoothing
};

constexpr std::array<ChartStyle, 7> kMetricStyles = {{
    {"loss", "Loss (nats)", "number", false},
    {"accuracy", "Accuracy", "percent", false},
    {"perplexity", "Perplexity", "number", false},
    {"learning_rate", "Learning rate", "number", true, false},
    {"grad_norm", "Gradient norm", "number", true},
    {"tokens_per_second", "Tokens per second", "number", true},
    {"images_per_second", "Images per second", "number", true},
}};

constexpr std::array<ChartStyle, 6> kTelemetryStyles = {{
    {"zero", "Weights that are 0, by layer", "percent", false, false},
    {"changed", "Weights that changed since the last log, by layer", "percent", true, false},
    {"near_threshold", "Latent weights near a threshold, by layer", "percent", true, false},
    {"dead_rows", "Dead rows (all weights 0), by layer", "number", true, false},
    {"scale", "Scale, by layer", "number", true, false},
    {"adapter_size", "What adapters add beside the weights, by layer", "percent", true, false},
}};

/// Figures shown for all layers together only.
struct SumStyle {
  const char* title;
  bool from_zero;
  std::vector<std::pair<const char*, const char*>> figures;  ///< key, label
};

const std::vector<SumStyle>& sum_styles() {
  static const std::vector<SumStyle> styles = {
      {"Shares of -1, 0 and +1, all layers", true, {{"minus", "-1"}, {"zero", "0"}, {"plus", "+1"}}},
      {"Kinds of change since the last log, all layers",
       true,
       {{"to_zero", "to 0"}, {"from_zero", "from 0"}, {"sign_flips", "sign flips"}}}};
  return styles;
}

/// "tokens_seen" becomes "Tokens seen".
std::string title_of(std::string key) {
  std::replace(key.begin(), key.end(), '_', ' ');
  if (!key.empty()) key[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(key[0])));
  return key;
}

/// layers.2 before layers.10.
bool natural_less(const std::string& a, const std::string& b) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  size_t i = 0;
  size_t j = 0;
  while (i < a.size() && j < b.size()) {
    if (!is_digit(a[i]) || !is_digit(b[j])) {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i;
      ++j;
      continue;
    }
    const auto number = [&](const std::string& text, size_t& at) {
      const size_t first = std::min(text.find_first_not_of('0', at), text.size());
      at = first;
      while (at < text.size() && is_digit(text[at])) ++at;
      return text.substr(first, at - first);
    };
    const std::string m = number(a, i);
    const std::string n = number(b, j);
    if (m != n) return m.size() != n.size() ? m.size() < n.size() : m < n;
  }
  return a.size() - i < b.size() - j;
}

/// Six digits are more than a screen shows, and make the page a third as large.
double rounded(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.6g", value);
  return std::strtod(text.data(), nullptr);
}

/// [[steps], [values]]; of a long curve the smallest and the largest value of each of kMaxPoints / 2
/// stretches.
Json points_json(const Curve& curve, size_t max_points) {
  const std::vector<std::pair<int64_t, double>> all(curve.begin(), curve.end());
  Json steps = Json::array();
  Json values = Json::array();
  const auto add = [&](const std::pair<int64_t, double>& point) {
    steps.push_back(point.first);
    values.push_back(rounded(point.second));
  };
  if (all.size() <= max_points) {
    std::for_each(all.begin(), all.end(), add);
    return {steps, values};
  }
  const size_t stretches = max_points / 2;
  const auto by_value = [](const auto& a, const auto& b) { return a.second < b.second; };
  for (size_t i = 0; i < stretches; ++i) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(i * all.size() / stretches);
    const auto end = all.begin() + static_cast<std::ptrdiff_t>((i + 1) * all.size() / stretches);
    const auto [low, high] = std::minmax_element(begin, end, by_value);
    add(*std::min(low, high));
    if (low != high) add(*std::max(low, high));
  }
  return {steps, values};
}

Json series_json(const std::string& name, const char* role, const Curve& curve,
                 size_t max_points = kCurvePoints) {
  return {{"name", name}, {"role", role}, {"points", points_json(curve, max_points)}};
}

Json chart_json(const ChartStyle& style, const std::string& title, Json series) {
  return {{"title", title},
          {"format", style.format},
          {"fromZero", style.from_zero},
          {"smooth", style.smooth},
          {"series", std::move(series)}};
}

/// The chart of a metric and of its namesake on the evaluation data.
void add_metric_chart(const MetricsLog& log, const ChartStyle& style, Json& charts) {
  Json series = Json::array();
  const std::string key = style.key;
  const auto train = log.metrics.find(key);
  const auto eval = log.metrics.find(std::string(kEvalPrefix) + key);
  if (train != log.metrics.end()) series.push_back(series_json("training", "train", train->second));
  if (eval != log.metrics.end()) series.push_back(series_json("evaluation", "eval", eval->second));
  if (series.empty()) return;
  charts.push_back(chart_json(style, *style.title != '\0' ? style.title : title_of(key), series));
}

void add_layer_chart(const MetricsLog& log, const ChartStyle& style, Json& charts) {
  const auto found = log.telemetry.find(style.key);
  if (found == log.telemetry.end()) return;
  std::vector<std::string> layers;
  for (const auto& [layer, curve] : found->second) {
    if (layer != kAllLayers) layers.push_back(layer);
  }
  std::sort(layers.begin(), layers.end(), natural_less);
  const size_t max_points = std::clamp(kChartPoints / (layers.size() + 1), kFewPoints, kCurvePoints);
  Json series = Json::array();
  const auto all = found->second.find(kAllLayers);
  // Sums of counts would dwarf the layers; shares of all layers lie among them.
  if (all != found->second.end() && std::string_view(style.format) == "percent" && layers.size() > 1) {
    series.push_back(series_json("all layers", "all", all->second, max_points));
  }
  for (const std::string& layer : layers)
    series.push_back(series_json(layer, "layer", found->second.at(layer), max_points));
  if (series.empty()) return;
  const std::string title = *style.title != '\0' ? style.title : title_of(style.key) + ", by layer";
  charts.push_back(chart_json(style, title, series));
}

}  // namespace

Json metric_charts(const MetricsLog& log) {
  std::set<std::string> others;
  for (const auto& [key, curve] : log.metrics) {
    others.insert(key.starts_with(kEvalPrefix) ? key.substr(kEvalPrefix.size()) : key);
  }
  Json charts = Json::array();
  for (const ChartStyle& style : kMetricStyles) {
    add_metric_chart(log, style, charts);
    others.erase(style.key);
  }
  for (const std::string& key : others) add_metric_chart(log, {key.c_str(), "", "number", false}, charts);
  return charts;
}

Json telemetry_charts(const MetricsLog& log) {
  Json charts = Json::array();
  std::set<std::string> others;
  for (const auto& [figure, layers] : log.telemetry) others.insert(figure);
  for (const ChartStyle& style : kTelemetryStyles) {
    add_layer_chart(log, style, charts);
    others.erase(style.key);
  }
  for (const SumStyle& style : sum_styles()) {
    Json series = Json::array();
    for (const auto& [figure, label] : style.figures) {
      others.erase(figure);
      const auto layers = log.telemetry.find(figure);
      if (layers == log.telemetry.end()) continue;
      const auto all = layers->second.find(kAllLayers);
      if (all != layers->second.end()) series.push_back(series_json(label, "part", all->second));
    }
    if (series.empty()) continue;
    charts.push_back(chart_json({"", "", "percent", style.from_zero, false}, style.title, series));
  }
  for (const std::string& figure : others)
    add_layer_chart(log, {figure.c_str(), "", "number", false, false}, charts);
  return charts;
}

Json summary_tiles(const MetricsLog& log) {
  Json tiles = Json::array();
  const auto text = [](const char* pattern, double value) {
    std::array<char, 64> buffer{};
    std::snprintf(buffer.data(), buffer.size(), pattern, value);
    return std::string(buffer.data());
  };
  int64_t last_step = 0;
  for (const auto& [key, curve] : log.metrics) last_step = std::max(last_step, curve.rbegin()->first);
  tiles.push_back({{"label", "last step"}, {"value", last_step}});
  const auto add_last = [&](const char* key, const char* label, const char* pattern, double factor) {
    const auto it = log.metrics.find(key);
    if (it == log.metrics.end()) return;
    tiles.push_back({{"label", label}, {"value", text(pattern, it->second.rbegin()->second * factor)}});
  };
  const auto add_best = [&](const char* key, const char* label, const char* pattern, double factor,
                            double sign) {
    const auto it = log.metrics.find(key);
    if (it == log.metrics.end()) return;
    const auto best =
        std::max_element(it->second.begin(), it->second.end(),
                         [&](const auto& a, const auto& b) { return sign * a.second < sign * b.second; });
    tiles.push_back(
        {{"label", label}, {"step", best->first}, {"value", text(pattern, best->second * factor)}});
  };
  add_last("loss", "training loss, last", "%.4f", 1);
  add_best("eval_loss", "best evaluation loss", "%.4f", 1, -1);
  add_best("eval_accuracy", "best evaluation accuracy", "%.2f %%", 100, 1);
  const auto zero = log.telemetry.find("zero");
  if (zero != log.telemetry.end() && zero->second.contains(kAllLayers)) {
    const Curve& all = zero->second.at(kAllLayers);
    tiles.push_back(
        {{"label", "weights that are 0, last"}, {"value", text("%.1f %%", all.rbegin()->second * 100)}});
  }
  return tiles;
}

}  // namespace rotor::train
