#include "runtime/rag/readers/wikitext.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace rotor::runtime::rag {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// Behind the part that begins at `at` with `open`, nested ones included; `at` if it has no end.
size_t behind(std::string_view text, size_t at, std::string_view open, std::string_view close) {
  int depth = 0;
  size_t i = at;
  while (i < text.size()) {
    const size_t next = text.find_first_of(std::string{open.front(), close.front()}, i);
    if (next == std::string_view::npos) return at;
    if (text.substr(next).starts_with(open)) {
      ++depth;
      i = next + open.size();
    } else if (text.substr(next).starts_with(close)) {
      i = next + close.size();
      if (--depth == 0) return i;
    } else {
      i = next + 1;
    }
  }
  return at;
}

/// `text` without what stands between `open` and `close`, nested or not. An opening without an end stays.
std::string without(std::string_view text, std::string_view open, std::string_view close) {
  std::string kept;
  size_t at = 0;
  size_t hopeless = std::string_view::npos;  // from here on none has an end
  while (at < text.size()) {
    const size_t next = std::min(text.find(open, at), text.size());
    kept += text.substr(at, next - at);
    if (next == text.size()) break;
    const size_t end = next >= hopeless ? next : behind(text, next, open, close);
    if (end == next) {
      hopeless = std::min(hopeless, next);
      kept += open;
      at = next + open.size();
    } else {
      at = end;
    }
  }
  return kept;
}

bool starts_with_tag(std::string_view text, std::string_view tag) {
  if (text.size() <= tag.size() + 1 || text[0] != '<') return false;
  for (size_t i = 0; i < tag.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i + 1])) != tag[i]) return false;
  }
  const char next = text[tag.size() + 1];
  return next == '>' || next == ' ' || next == '/' || next == '\n';
}

/// Without comments and tags; of some tags, what is in them goes, too.
std::string without_tags(std::string_view text) {
  constexpr std::array<std::string_view, 7> kWithContents = {"ref",      "math",  "gallery", "timeline",
                                                             "imagemap", "score", "code"};
  std::string kept;
  size_t at = 0;
  while (at < text.size()) {
    const size_t next = std::min(text.find('<', at), text.size());
    kept += text.substr(at, next - at);
    if (next == text.size()) break;
    const std::string_view rest = text.substr(next);
    const bool is_comment = rest.starts_with("<!--");
    const char first = rest.size() > 1 ? rest[1] : ' ';
    if (!is_comment && first != '/' && std::isalpha(static_cast<unsigned char>(first)) == 0) {
      kept += '<';  // less than
      at = next + 1;
      continue;
    }
    size_t end = is_comment ? rest.find("-->") : rest.find('>');
    if (end == std::string_view::npos) break;
    end += is_comment ? 3 : 1;
    for (const std::string_view tag : kWithContents) {
      if (is_comment || !starts_with_tag(rest, tag) || rest[end - 2] == '/') continue;
      const size_t close = rest.find("</" + std::string(tag), end);
      const size_t closed = close == std::string_view::npos ? close : rest.find('>', close);
      if (closed != std::string_view::npos) end = closed + 1;
    }
    if (starts_with_tag(rest, "br")) kept += '\n';
    at = next + end;
  }
  return kept;
}

/// What a link shows: of [[File:...]] and its like nothing, of [[page|text]] the text.
std::string link_text(std::string_view inside) {
  const size_t colon = inside.find(':');
  const size_t bar = inside.rfind('|');
  if (colon != std::string_view::npos && colon > 0 &&
      (bar == std::string_view::npos || colon < inside.find('|'))) {
    std::string space(inside.substr(0, colon));
    std::ranges::transform(space, space.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    // Languages ("de") and namespaces of pictures and categories; a title with a colon has a blank behind it.
    const bool is_space = inside.size() > colon + 1 && inside[colon + 1] != ' ';
    if (is_space) return "";
  }
  return std::string(bar == std::string_view::npos ? inside : inside.substr(bar + 1));
}

std::string with_links_as_text(std::string_view text) {
  std::string kept;
  size_t at = 0;
  while (at < text.size()) {
    const size_t next = std::min(text.find('[', at), text.size());
    kept += text.substr(at, next - at);
    if (next == text.size()) break;
    if (text.substr(next).starts_with("[[")) {
      const size_t end = behind(text, next, "[[", "]]");
      if (end > next) {
        // Captions of pictures have links themselves; the pictures go with them.
        kept += link_text(text.substr(next + 2, end - next - 4));
        at = end;
        continue;
      }
    } else if (text.substr(next).starts_with("[http") || text.substr(next).starts_with("[//")) {
      const size_t end = text.find(']', next);
      const size_t blank = text.find(' ', next);
      if (end != std::string_view::npos) {
        if (blank < end) kept += text.substr(blank + 1, end - blank - 1);
        at = end + 1;
        continue;
      }
    }
    kept += '[';
    at = next + 1;
  }
  return kept;
}

/// Without '' and ''', and with the few entities that are common.
std::string plain(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kEntities = {
      {{"&nbsp;", " "},
       {"&amp;", "&"},
       {"&lt;", "<"},
       {"&gt;", ">"},
       {"&quot;", "\""},
       {"&ndash;", "\u2013"},
       {"&mdash;", "\u2014"}}};
  std::string kept;
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("''")) {
      i += std::min(rest.find_first_not_of('\''), rest.size());
      continue;
    }
    const auto entity =
        std::ranges::find_if(kEntities, [&](const auto& e) { return rest.starts_with(e.first); });
    if (entity != kEntities.end()) {
      kept += entity->second;
      i += entity->first.size();
      continue;
    }
    kept += text[i++];
  }
  return kept;
}

}  // namespace

std::vector<Block> read_wikitext(std::string_view text) {
  std::string cleaned = without_tags(text);
  cleaned = without(cleaned, "{{", "}}");
  cleaned = without(cleaned, "{|", "|}");
  cleaned = plain(with_links_as_text(cleaned));
  std::vector<Block> blocks;
  bool inside = false;
  std::string_view rest = cleaned;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.size(), end + 1));
    const size_t marks = std::min(line.find_first_not_of('='), line.size());
    if (line.empty() || line.starts_with("__")) {
      inside = false;
    } else if (marks >= 2 && marks <= 6 && line.size() > 2 * marks && line.ends_with(line.substr(0, marks))) {
      const std::string_view heading = trimmed(line.substr(marks, line.size() - 2 * marks));
      blocks.push_back({Block::Kind::heading, static_cast<int64_t>(marks), std::string(heading), {}});
      inside = false;
    } else if (const size_t level = std::min(line.find_first_not_of("*#:;"), line.size()); level > 0) {
      line = trimmed(line.substr(level));
      if (!line.empty())
        blocks.push_back({Block::Kind::list_item, static_cast<int64_t>(level), std::string(line), {}});
      inside = false;
    } else if (inside) {
      blocks.back().text += "\n" + std::string(line);
    } else {
      blocks.push_back({Block::Kind::paragraph, 0, std::string(line), {}});
      inside = true;
    }
  }
  return blocks;
}

}  // namespace rotor::runtime::rag
