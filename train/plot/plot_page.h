// The curves of a run as one HTML page that needs nothing else: no network, no other file.
#pragma once

#include <string>

#include "train/plot/metrics_log.h"

namespace rotor::train {

/// The page: its data as JSON, its drawing in JavaScript (page.html, page.css, page.js). Nothing in `title`
/// or `log` is taken for HTML. Curves with very many points are thinned; their extremes stay.
std::string plot_page(const std::string& title, const MetricsLog& log);

}  // namespace rotor::train
