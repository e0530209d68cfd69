// The metrics of a run as a page: what is read, what is left out and said, and that nothing in it becomes
// HTML.
#include <gtest/gtest.h>

#include <algorithm>

#include "rotor/formats/json.h"
#include "tests/support/temp_dir.h"
#include "train/plot/charts.h"
#include "train/plot/metrics_log.h"
#include "train/plot/plot_page.h"

namespace rotor::train {
namespace {

using test::TempDir;

MetricsLog log_of(const std::string& lines) {
  const TempDir dir;
  test::write_bytes(dir.file("metrics.jsonl"), lines);
  return read_metrics(dir.file("metrics.jsonl"));
}

std::vector<std::string> titles(const Json& charts) {
  std::vector<std::string> found;
  for (const Json& chart : charts) found.push_back(chart["title"]);
  return found;
}

std::vector<std::string> names(const Json& chart) {
  std::vector<std::string> found;
  for (const Json& series : chart["series"]) found.push_back(series["name"]);
  return found;
}

/// The JSON that the page carries.
Json data_of(const std::string& page) {
  const std::string open = "<script id=\"data\" type=\"application/json\">";
  const size_t begin = page.find(open) + open.size();
  return parse_json(page.substr(begin, page.find("</script>", begin) - begin), "page");
}

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(MetricsLog, ReadsLines) {
  const MetricsLog log = log_of(
      "{\"step\":20,\"epoch\":0.5,\"loss\":2.5,\"learning_rate\":0.001}\n"
      "\n"
      "{\"step\":10,\"loss\":3,\"grad_norm\":null,\"note\":\"text\"}\n"
      "{\"step\":20,\"eval_loss\":2.75,\"telemetry\":{\"w\":{\"zero\":0.25,\"dead_rows\":1},\"v\":3}}\n"
      "{\"step\":30,\"sample\":\"later\"}\n"
      "{\"step\":20,\"sample\":\"first\"}");
  EXPECT_EQ(log.metrics.size(), 3U);
  EXPECT_EQ(log.metrics.at("loss"), (Curve{{10, 3.0}, {20, 2.5}}));
  EXPECT_EQ(log.metrics.at("eval_loss"), (Curve{{20, 2.75}}));
  EXPECT_EQ(log.telemetry.at("zero").at("w"), (Curve{{20, 0.25}}));
  EXPECT_EQ(log.telemetry.at("dead_rows").size(), 1U);
  ASSERT_EQ(log.samples.size(), 2U);
  EXPECT_EQ(log.samples[0].text, "first");
  EXPECT_TRUE(log.notes.empty());
}

TEST(MetricsLog, ALastLineThatIsCutOffIsLeftOutAndSaid) {
  const MetricsLog log = log_of("{\"step\":1,\"loss\":2}\n{\"step\":2,\"lo");
  EXPECT_EQ(log.metrics.at("loss").size(), 1U);
  ASSERT_EQ(log.notes.size(), 1U);
  EXPECT_NE(log.notes[0].find("last line"), std::string::npos);
}

TEST(MetricsLog, OtherBadLinesAreCounted) {
  const MetricsLog log =
      log_of("{\"step\":1,\"loss\":2}\nnothing\n{\"loss\":2}\n[1]\n{\"step\":3,\"loss\":1}\n");
  EXPECT_EQ(log.metrics.at("loss").size(), 2U);
  ASSERT_EQ(log.notes.size(), 1U);
  EXPECT_NE(log.notes[0].find("3 lines"), std::string::npos) << log.notes[0];
  EXPECT_NE(log.notes[0].find("line 2"), std::string::npos) << log.notes[0];
}

TEST(MetricsLog, NothingToPlotIsAnError) {
  test::expect_error([] { read_metrics("/nowhere/metrics.jsonl"); },
                     {"/nowhere/metrics.jsonl", "cannot open"});
  test::expect_error([] { log_of(""); }, {"metrics.jsonl", "is empty"});
  test::expect_error([] { log_of("{\"step\":1}\n{\"st"); }, {"metrics.jsonl", "nothing to plot in 2 lines"});
  const TempDir dir;
  test::expect_error([&] { read_metrics(dir.path()); }, {"found a directory"});
}

TEST(Charts, MetricsAndTheirNamesakesOfTheEvaluation) {
  const Json charts = metric_charts(log_of(
      "{\"step\":1,\"accuracy\":0.5,\"loss\":2,\"a_new_one\":1,\"eval_loss\":3,\"eval_perplexity\":20}"));
  EXPECT_EQ(titles(charts), (std::vector<std::string>{"Loss (nats)", "Accuracy", "Perplexity", "A new one"}));
  EXPECT_EQ(names(charts[0]), (std::vector<std::string>{"training", "evaluation"}));
  EXPECT_EQ(names(charts[2]), (std::vector<std::string>{"evaluation"}));
  EXPECT_EQ(charts[0]["series"][1]["points"], Json({{1}, {3.0}}));
}

TEST(Charts, LayersInTheOrderOfTheirNumbers) {
  const Json charts = telemetry_charts(
      log_of("{\"step\":1,\"telemetry\":{\"layers.10.w\":{\"zero\":0.1},\"layers.9.w\":{\"zero\":0.2},"
             "\"layers.9.v\":{\"zero\":0.3},\"all\":{\"zero\":0.2,\"minus\":0.4,\"dead_rows\":5}}}"));
  EXPECT_EQ(titles(charts),
            (std::vector<std::string>{"Weights that are 0, by layer", "Shares of -1, 0 and +1, all layers"}));
  EXPECT_EQ(names(charts[0]),
            (std::vector<std::string>{"all layers", "layers.9.v", "layers.9.w", "layers.10.w"}));
  EXPECT_EQ(names(charts[1]), (std::vector<std::string>{"-1", "0"}));
}

TEST(Charts, ALongCurveIsThinnedAndKeepsItsExtremes) {
  MetricsLog log;
  for (int64_t step = 0; step < 100000; ++step)
    log.metrics["loss"][step] = 1.0 + 1e-6 * static_cast<double>(step);
  log.metrics["loss"][31415] = 99.0;
  log.metrics["loss"][27182] = -99.0;
  const Json points = metric_charts(log)[0]["series"][0]["points"];
  const auto steps = points[0].get<std::vector<int64_t>>();
  const auto values = points[1].get<std::vector<double>>();
  ASSERT_EQ(steps.size(), values.size());
  EXPECT_LE(steps.size(), 2000U);
  EXPECT_TRUE(std::is_sorted(steps.begin(), steps.end()));
  EXPECT_EQ(steps.front(), 0);
  EXPECT_EQ(steps.back(), 99999);
  EXPECT_EQ(*std::max_element(values.begin(), values.end()), 99.0);
  EXPECT_EQ(*std::min_element(values.begin(), values.end()), -99.0);
}

TEST(PlotPage, NothingInItIsTakenForHtml) {
  const std::string hostile = "</script><script>alert(1)</script><!-- {{js}} & \xFF";
  MetricsLog log;
  log.metrics["<b>"][1] = 1.0;
  log.telemetry["zero"][hostile][1] = 0.5;
  log.samples.push_back({1, hostile});
  log.notes.push_back(hostile);
  const std::string page = plot_page(hostile, log);
  EXPECT_EQ(count(page, "alert(1)</script>"), 0U);
  EXPECT_EQ(count(page, "<script"), 2U);  // the data and the program
  EXPECT_EQ(count(page, "</script>"), 2U);
  EXPECT_EQ(count(page, "<b>"), 0U);
  const Json data = data_of(page);
  const std::string valid = hostile.substr(0, hostile.size() - 1) + "\xEF\xBF\xBD";
  EXPECT_EQ(data["title"], valid);
  EXPECT_EQ(data["samples"][0]["text"], valid);
  EXPECT_EQ(data["telemetry"][0]["series"][0]["name"], valid);
}

TEST(PlotPage, NeedsNothingElse) {
  const std::string page = plot_page("run", log_of("{\"step\":1,\"loss\":2}"));
  for (const char* part : {"src=", "href=", "@import", "url(", "fetch(", "import "}) {
    EXPECT_EQ(count(page, part), 0U) << part;
  }
  // The one address is SVG's namespace, which is a name.
  EXPECT_EQ(count(page, "http"), count(page, "http://www.w3.org/2000/svg"));
  EXPECT_EQ(count(page, "{{"), 0U);
  EXPECT_NE(page.find("<title>run</title>"), std::string::npos);
  EXPECT_EQ(data_of(page)["summary"][0]["value"], 1);
}

}  // namespace
}  // namespace rotor::train
