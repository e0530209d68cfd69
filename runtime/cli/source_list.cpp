#include "runtime/cli/source_list.h"

#include <algorithm>

#include "rotor/core/error.h"
#include "rotor/tool/progress.h"

namespace rotor::runtime::cli {
namespace {

using retrieval::Source;

constexpr const char* kFaint = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

std::string line_of(const Source& source) {
  std::string place = source.source;
  if (source.page > 0) place += cat(place.empty() ? "" : ", ", "page ", source.page);
  if (source.line > 0) place += cat(place.empty() ? "" : ", ", "line ", source.line);
  const std::string name = retrieval::name_of(source);
  const bool has_more = !place.empty() && place != name;
  return cat("[", source.number, "] ", name, has_more ? " (" : "", has_more ? place : "",
             has_more ? ")" : "");
}

std::string indented(const std::string& text) {
  std::string result = "    ";
  for (const char c : text) {
    result += c;
    if (c == '\n') result += "    ";
  }
  return result;
}

}  // namespace

std::string source_lines(const std::vector<Source>& sources, const std::vector<int64_t>& cited, bool colors) {
  std::string text;
  for (const Source& source : sources) {
    const bool is_faint = colors && std::ranges::find(cited, source.number) == cited.end();
    text += cat(is_faint ? kFaint : "", line_of(source), is_faint ? kPlain : "", "\n");
  }
  return text;
}

std::string sources_in_full(const retrieval::Retrieval& retrieval) {
  std::string text = cat(retrieval::name(retrieval.outcome), ": ", retrieval.reason);
  if (!retrieval.failure.empty()) text += ": " + retrieval.failure;
  if (retrieval.search_ms > 0.0) text += tool::format("; searched in %.1f ms", retrieval.search_ms);
  text += "\n";
  for (const Source& source : retrieval.sources) {
    text.append("\n").append(line_of(source));
    if (source.score) text += tool::format(", score %.2f", *source.score);
    text += (source.cut ? ", cut to fit:\n" : ":\n") + indented(source.text) + "\n";
  }
  return text;
}

}  // namespace rotor::runtime::cli
