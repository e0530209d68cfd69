// Passes over the text, each of which takes time of its size: tags, templates, tables, links, marks of style;
// then lines become blocks.
#include "runtime/rag/readers/wikitext.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <functional>

#include "rotor/core/error.h"
#include "runtime/rag/readers/text.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kDeepest = 40;    // of templates and links; what is deeper goes with them
constexpr char kLiteral = '\x01';  // around the number of a text in which nothing is markup
constexpr char kCode = '\x02';     // before the number of such a text that is a block

constexpr const char* kDigits = "0123456789";

constexpr std::array<std::string_view, 13> kTagsThatGo = {
    "ref",   "math", "gallery", "timeline",     "imagemap", "score",    "chem",
    "graph", "ce",   "hiero",   "templatedata", "mapframe", "indicator"};
constexpr std::array<std::string_view, 3> kCodeTags = {"syntaxhighlight", "source", "pre"};

/// `text` as a tag begins: its name in lower case, "" if it is none.
std::string tag_name(std::string_view text) {
  const size_t begin = text.starts_with("</") ? 2 : 1;
  size_t end = begin;
  while (end < text.size() && end < 24 && std::isalnum(static_cast<unsigned char>(text[end])) != 0) ++end;
  if (end == begin || end == text.size() || std::isalpha(static_cast<unsigned char>(text[begin])) == 0)
    return "";
  if (std::string_view(" />\t\n").find(text[end]) == std::string_view::npos) return "";
  return lower_case(text.substr(begin, end - begin));
}

/// Takes comments and tags out; of some, what is in them goes, too, or is kept aside as it is.
class TagPass {
 public:
  explicit TagPass(std::string_view text) : text_(text), lower_(lower_case(text)) {}

  std::string run() {
    while (at_ < text_.size()) {
      const size_t next = std::min(text_.find('<', at_), text_.size());
      take_plain(next);
      if (next < text_.size()) take_tag();
    }
    return std::move(kept_);
  }

  std::vector<std::string> literals;

 private:
  void take_plain(size_t end) {
    for (; at_ < end; ++at_) {
      if (text_[at_] != kLiteral && text_[at_] != kCode) kept_ += text_[at_];
    }
  }

  void take_tag() {
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with("<!--")) {
      const size_t end = rest.find("-->");
      at_ = end == std::string_view::npos ? text_.size() : at_ + end + 3;
      return;
    }
    const std::string name = tag_name(rest);
    const size_t end = name.empty() ? std::string_view::npos : rest.find_first_of("<>", 1);
    if (end == std::string_view::npos || rest[end] != '>') {
      kept_ += '<';  // less than
      ++at_;
      return;
    }
    const bool is_open = rest[1] != '/' && rest[end - 1] != '/';
    at_ += end + 1;
    if (name == "br") kept_ += '\n';
    if (!is_open) return;
    const bool goes = std::ranges::find(kTagsThatGo, name) != kTagsThatGo.end();
    const bool is_code = std::ranges::find(kCodeTags, name) != kCodeTags.end();
    if (!goes && !is_code && name != "nowiki") return;
    const size_t close = closing(name);
    if (close == std::string_view::npos) return;
    if (!goes) {
      const size_t number = literals.size();
      std::string literal = with_entities_as_text(text_.substr(at_, close - at_));
      std::erase_if(literal, [](char c) { return c == kLiteral || c == kCode; });
      literals.push_back(std::move(literal));
      kept_ += is_code ? cat("\n\n", kCode, number, "\n\n") : cat(kLiteral, number, kLiteral);
    }
    at_ = std::min(text_.find('>', close), text_.size() - 1) + 1;
  }

  /// Where the tag's end begins; npos if it has none, which is looked for once.
  size_t closing(const std::string& name) {
    if (std::ranges::find(without_end_, name) != without_end_.end()) return std::string_view::npos;
    const std::string mark = "</" + name;
    size_t close = lower_.find(mark, at_);
    while (close != std::string::npos && tag_name(std::string_view(lower_).substr(close)) != name)
      close = lower_.find(mark, close + 1);
    if (close == std::string::npos) without_end_.push_back(name);
    return close;
  }

  std::string_view text_;
  std::string lower_;
  std::string kept_;
  size_t at_ = 0;
  std::vector<std::string> without_end_;
};

/// With what stands between `open` and `close` replaced, the innermost first. Marks without a partner stay.
std::string with_pairs_replaced(std::string_view text, std::string_view open, std::string_view close,
                                const std::function<std::string(std::string_view)>& replace) {
  std::vector<std::string> parts(1);  // of what is open, from the outside
  for (size_t i = 0; i < text.size();) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with(open)) {
      parts.emplace_back();
      i += open.size();
    } else if (rest.starts_with(close) && parts.size() > 1) {
      const std::string inside = std::move(parts.back());
      parts.pop_back();
      if (parts.size() <= kDeepest) parts.back() += replace(inside);
      i += close.size();
    } else {
      const size_t end = std::min(text.find_first_of(std::string{open[0], close[0]}, i + 1), text.size());
      parts.back() += text.substr(i, end - i);
      i = end;
    }
  }
  std::string kept = std::move(parts.front());
  for (size_t i = 1; i < parts.size(); ++i) kept += std::string(open) + parts[i];
  return kept;
}

/// The parts between "|" that stand in no link; those of a "name=value" not.
std::vector<std::string_view> template_arguments(std::string_view inside) {
  std::vector<std::string_view> parts;
  size_t begin = 0;
  int links = 0;
  for (size_t i = 0; i <= inside.size(); ++i) {
    const std::string_view rest = inside.substr(i);
    if (rest.starts_with("[[")) ++links;
    if (rest.starts_with("]]")) --links;
    if (!rest.empty() && (rest[0] != '|' || links > 0)) continue;
    const std::string_view part = trimmed(inside.substr(begin, i - begin));
    if (parts.empty() || part.find('=') == std::string_view::npos) parts.push_back(part);
    begin = i + 1;
  }
  return parts;
}

/// What a template stands for in a sentence; nothing for those that are not known.
std::string template_text(std::string_view inside) {
  const std::vector<std::string_view> parts = template_arguments(inside);
  const std::string name = lower_case(parts[0]);
  const auto part = [&](size_t i) { return std::string(i < parts.size() ? parts[i] : ""); };
  if (name == "nowrap" || name == "nobr" || name == "abbr") return part(1);
  if (name == "lang" || name == "transl") return parts.size() > 2 ? std::string(parts.back()) : "";
  if (name == "convert" || name == "cvt") {
    constexpr std::array<std::string_view, 7> kBetween = {"to", "-", "\u2013", "and", "by", "x", "or"};
    const bool is_range = std::ranges::find(kBetween, part(2)) != kBetween.end();
    const std::string value = cat(part(1), ' ', part(2));
    return is_range ? cat(value, ' ', part(3), ' ', part(4)) : value;
  }
  return "";
}

/// Without tables, nested ones included. One without an end loses the lines of its cells alone.
std::string without_tables(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
  std::vector<size_t> open;
  std::vector<bool> goes(lines.size());
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line =
        lines[i].substr(std::min(lines[i].find_first_not_of(" \t:"), lines[i].size()));
    if (line.starts_with("{|")) {
      open.push_back(i);
    } else if (line.starts_with("|}") && !open.empty()) {
      // Only the outermost one marks: each line is marked once.
      if (open.size() == 1)
        std::fill(goes.begin() + static_cast<ptrdiff_t>(open[0]), goes.begin() + static_cast<ptrdiff_t>(i),
                  true);
      open.pop_back();
      lines[i] = line.substr(2);
    } else if (line.starts_with("|")) {
      goes[i] = true;
    }
  }
  for (const size_t i : open) goes[i] = true;
  std::string kept;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (goes[i]) continue;
    kept += lines[i];
    kept += '\n';
  }
  return kept;
}

/// What a link shows: of a file or a category nothing, of [[page|text]] the text.
std::string link_text(std::string_view inside, std::span<const std::string> spaces) {
  constexpr std::array<std::string_view, 3> kEnglish = {"file", "image", "category"};
  const size_t bar = inside.find('|');
  const size_t colon = inside.substr(0, bar).find(':');
  if (colon != std::string_view::npos) {
    const std::string space = lower_case(trimmed(inside.substr(0, colon)));
    const bool goes =
        std::ranges::find(kEnglish, space) != kEnglish.end() ||
        std::ranges::any_of(spaces, [&](const std::string& s) { return lower_case(s) == space; });
    // The same article in another language: [[de:Biene]].
    const bool is_language = bar == std::string_view::npos && (space.size() == 2 || space.size() == 3) &&
                             inside[0] == space[0] && inside.substr(colon + 1).find_first_of(" ") != 0 &&
                             std::ranges::all_of(space, [](char c) { return c >= 'a' && c <= 'z'; });
    if (goes || is_language) return "";
  }
  std::string_view shown = bar == std::string_view::npos ? inside : inside.substr(bar + 1);
  if (shown.starts_with(':')) shown.remove_prefix(1);
  return std::string(shown);
}

/// [https://example.org text]: the text.
std::string without_addresses(std::string_view text) {
  std::string kept;
  size_t at = 0;
  while (at < text.size()) {
    const size_t next = std::min(text.find('[', at), text.size());
    kept += text.substr(at, next - at);
    at = next;
    if (next == text.size()) break;
    const std::string_view rest = text.substr(next);
    const bool is_address =
        rest.starts_with("[http://") || rest.starts_with("[https://") || rest.starts_with("[//");
    const size_t end = is_address ? rest.find_first_of("]\n[", 1) : std::string_view::npos;
    if (end != std::string_view::npos && rest[end] == ']') {
      const size_t blank = rest.substr(0, end).find(' ');
      if (blank != std::string_view::npos) kept += rest.substr(blank + 1, end - blank - 1);
      at += end + 1;
    } else {
      kept += '[';
      ++at;
    }
  }
  return kept;
}

/// Without '' and ''' and words like __NOTOC__; literals and entities as what they stand for; one blank where
/// there were several, and none of the parentheses that a template left empty.
std::string plain(std::string_view line, const std::vector<std::string>& literals) {
  std::string kept;
  for (size_t i = 0; i < line.size();) {
    const std::string_view rest = line.substr(i);
    const size_t word_end = rest.starts_with("__") ? rest.find("__", 2) : std::string_view::npos;
    const bool is_word =
        word_end != std::string_view::npos && word_end > 2 && word_end < 30 &&
        std::ranges::all_of(rest.substr(2, word_end - 2), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (rest.starts_with("''")) {
      i += std::min(rest.find_first_not_of('\''), rest.size());
    } else if (is_word) {
      i += word_end + 2;
    } else if (rest.starts_with(kLiteral)) {
      const size_t end = rest.find(kLiteral, 1);
      kept += literals[std::stoul(std::string(rest.substr(1, end - 1)))];
      i += end + 1;
    } else if (rest.starts_with(kCode)) {
      i += std::min(rest.find_first_not_of(kDigits, 1), rest.size());
    } else if (rest[0] == '&') {
      const size_t end = std::min(rest.find_first_of(std::string{' ', '\'', kLiteral}, 1), rest.size());
      kept += with_entities_as_text(rest.substr(0, end));
      i += end;
    } else {
      kept += rest[0];
      ++i;
    }
  }
  std::string tidy;
  for (const char c : kept) {
    const bool is_blank = c == ' ' || c == '\t';
    if (c == kLiteral || c == kCode) continue;  // of an entity
    if (is_blank && (tidy.empty() || tidy.ends_with(' ') || tidy.ends_with('('))) continue;
    if ((c == ';' || c == ',') && tidy.ends_with('(')) continue;
    if (c == ')' && tidy.ends_with(" (")) {
      tidy.resize(tidy.size() - 2);
    } else {
      tidy += is_blank ? ' ' : c;
    }
  }
  return std::string(trimmed(tidy));
}

/// Sections whose contents went ("References", "Gallery") go, too.
std::vector<Block> without_empty_sections(std::vector<Block> blocks) {
  std::vector<Block> kept;
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    const bool is_heading = block->kind == Block::Kind::heading;
    const bool has_text =
        !kept.empty() && (kept.back().kind != Block::Kind::heading || kept.back().level > block->level);
    if (!is_heading || has_text) kept.push_back(std::move(*block));
  }
  std::ranges::reverse(kept);
  return kept;
}

std::vector<Block> blocks_of(std::string_view text, const std::vector<std::string>& literals) {
  std::vector<Block> blocks;
  bool inside = false;  // a paragraph
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
    const size_t marks = std::min(line.find_first_not_of('='), line.size());
    const size_t level = std::min(line.find_first_not_of("*#:;"), line.size());
    const bool is_heading =
        marks >= 1 && marks <= 6 && line.size() > 2 * marks && line.ends_with(line.substr(0, marks));
    const bool is_rule = line.starts_with("----");
    // A template may have put it among others; then it goes.
    if (line.starts_with(kCode) && line.find_first_not_of(kDigits, 1) == std::string_view::npos) {
      const std::string& code = literals[std::stoul(std::string(line.substr(1)))];
      const std::string_view lines = std::string_view(code).substr(code.starts_with('\n') ? 1 : 0);
      const size_t last = lines.find_last_not_of(" \n\t");
      if (last != std::string_view::npos)
        blocks.push_back({Block::Kind::code, 0, std::string(lines.substr(0, last + 1)), {}});
      inside = false;
      continue;
    }
    Block block;
    if (is_heading) {
      block = {Block::Kind::heading,
               static_cast<int64_t>(marks),
               plain(line.substr(marks, line.size() - 2 * marks), literals),
               {}};
    } else if (level > 0) {
      block = {Block::Kind::list_item, static_cast<int64_t>(level), plain(line.substr(level), literals), {}};
    } else {
      const size_t begin = is_rule ? std::min(line.find_first_not_of('-'), line.size()) : 0;
      block.text = plain(line.substr(begin), literals);
    }
    const bool is_paragraph = block.kind == Block::Kind::paragraph;
    if (block.text.empty()) {
      inside = inside && !line.empty() && is_paragraph && !is_rule;
    } else if (is_paragraph && inside && !is_rule) {
      blocks.back().text += '\n';
      blocks.back().text += block.text;
    } else {
      inside = is_paragraph;
      blocks.push_back(std::move(block));
    }
  }
  return blocks;
}

}  // namespace

std::vector<Block> read_wikitext(std::string_view text, std::span<const std::string> spaces) {
  TagPass tags(text);
  std::string cleaned = tags.run();
  cleaned = with_pairs_replaced(cleaned, "{{", "}}", template_text);
  cleaned = without_tables(cleaned);
  cleaned = with_pairs_replaced(cleaned, "[[", "]]",
                                [&](std::string_view inside) { return link_text(inside, spaces); });
  cleaned = without_addresses(cleaned);
  return without_empty_sections(blocks_of(cleaned, tags.literals));
}

}  // namespace rotor::runtime::rag
