// The charts of a run's page as JSON for page.js: [{"title", "format": "number" | "percent", "fromZero",
// "smooth", "series": [{"name", "role": "train" | "eval" | "all" | "layer" | "part", "points": [[steps],
// [values]]}]}].
#pragma once

#include "rotor/formats/json.h"
#include "train/plot/metrics_log.h"

namespace rotor::train {

/// Loss, accuracy and so on, each with its namesake eval_... on the same chart; unknown keys last.
Json metric_charts(const MetricsLog& log);

/// Ternary telemetry by layer, and over all layers. Curves with very many points are thinned; their extremes
/// stay.
Json telemetry_charts(const MetricsLog& log);

/// The figures at the head of the page: [{"label", "value": text or number, "step": if it is of one}].
Json summary_tiles(const MetricsLog& log);

}  // namespace rotor::train
