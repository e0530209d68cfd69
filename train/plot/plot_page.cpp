// page.html with title, style, data and script put in.
#include "train/plot/plot_page.h"

#include <string_view>

#include "rotor/formats/json.h"
#include "train/plot/charts.h"
#include "train/plot/page_files.h"

namespace rotor::train {
namespace {

/// JSON that may stand inside a script element: no "</script>", no "<!--".
std::string script_json(const Json& json) {
  std::string escaped;
  for (const char c : dump_json(json)) {
    if (c == '<') {
      escaped += "\\u003c";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string html_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace

std::string plot_page(const std::string& title, const MetricsLog& log) {
  Json samples = Json::array();
  for (const Sample& sample : log.samples) samples.push_back({{"step", sample.step}, {"text", sample.text}});
  const Json data = {{"title", title},
                     {"notes", log.notes},
                     {"summary", summary_tiles(log)},
                     {"metrics", metric_charts(log)},
                     {"telemetry", telemetry_charts(log)},
                     {"samples", samples}};
  // Each mark in page.html is replaced where it stands, so that nothing inserted is searched again.
  std::string page;
  std::string_view rest = kPageHtml;
  const auto insert = [&](std::string_view mark, std::string_view text) {
    const size_t at = rest.find(mark);
    page.append(rest.substr(0, at)).append(text);
    rest.remove_prefix(at + mark.size());
  };
  insert("{{title}}", html_text(title));
  insert("{{css}}", kPageCss);
  insert("{{data}}", script_json(data));
  insert("{{js}}", kPageJs);
  return page.append(rest);
}

}  // namespace rotor::train
