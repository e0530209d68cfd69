#include "runtime/rag/readers/text.h"

#include <algorithm>
#include <array>
#include <utility>

#include "rotor/text/stream_decoder.h"
#include "runtime/rag/readers/html_tree.h"

namespace rotor::runtime::rag {
namespace {

constexpr size_t kLongestEntity = 40;  // HTML's longest has 33

using Pair = std::pair<std::string_view, std::string_view>;

// What most texts have; the other two thousand Gumbo knows.
constexpr std::array<Pair, 9> kCommon = {{{"&nbsp;", " "},
                                          {"&shy;", ""},
                                          {"&amp;", "&"},
                                          {"&lt;", "<"},
                                          {"&gt;", ">"},
                                          {"&quot;", "\""},
                                          {"&apos;", "'"},
                                          {"&ndash;", "\u2013"},
                                          {"&mdash;", "\u2014"}}};

// What browsers take some names for (WHATWG, Encoding, 4.2), and iconv does not.
constexpr std::array<Pair, 12> kOtherNames = {{{"ascii", "WINDOWS-1252"},
                                               {"us-ascii", "WINDOWS-1252"},
                                               {"latin1", "WINDOWS-1252"},
                                               {"iso-8859-1", "WINDOWS-1252"},
                                               {"iso-8859-9", "WINDOWS-1254"},
                                               {"gb2312", "GB18030"},
                                               {"gbk", "GB18030"},
                                               {"shift_jis", "CP932"},
                                               {"shift-jis", "CP932"},
                                               {"x-sjis", "CP932"},
                                               {"ks_c_5601-1987", "CP949"},
                                               {"euc-kr", "CP949"}}};

}  // namespace

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

std::string as_utf8(std::string bytes) {
  std::ranges::replace(bytes, '\0', ' ');
  std::string kept;
  std::string_view rest = bytes;
  while (true) {
    const size_t valid = text::valid_utf8_prefix(rest);
    kept += rest.substr(0, valid);
    if (valid == rest.size()) return kept;
    kept += "\uFFFD";
    rest.remove_prefix(valid + 1);
  }
}

std::string entity_text(std::string_view entity) {
  const auto* const common = std::ranges::find(kCommon, entity, &Pair::first);
  if (common != kCommon.end()) return std::string(common->second);
  // The letter keeps a blank at the beginning of a page.
  std::string page = "x";
  page += entity;
  const HtmlTree tree(page);
  const std::string text = tree.text().substr(1);
  if (text == "\u00A0") return " ";
  return text == "\u00AD" ? "" : text;
}

std::string with_entities_as_text(std::string_view text) {
  std::string kept;
  while (true) {
    const size_t begin = text.find('&');
    kept += text.substr(0, begin);
    if (begin == std::string_view::npos) return kept;
    text.remove_prefix(begin);
    const size_t end = text.find_first_of("; \n&<", 1);
    const bool is_entity =
        end != std::string_view::npos && text[end] == ';' && end > 1 && end < kLongestEntity;
    const size_t size = is_entity ? end + 1 : 1;
    kept += is_entity ? entity_text(text.substr(0, size)) : "&";
    text.remove_prefix(size);
  }
}

std::string encoding_of_html(std::string_view bytes) {
  if (bytes.starts_with("\xEF\xBB\xBF")) return "UTF-8";
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) return "UTF-16";
  const std::string begin = lower_case(bytes.substr(0, 4096));
  const bool is_xml = begin.starts_with("<?xml");
  size_t at = std::string::npos;
  if (is_xml) at = begin.substr(0, begin.find("?>")).find("encoding=");
  for (size_t meta = begin.find("<meta"); at == std::string::npos && meta != std::string::npos;
       meta = begin.find("<meta", meta + 1)) {
    const size_t charset = begin.find("charset", meta);
    if (charset < begin.find('>', meta)) at = charset;
  }
  if (at == std::string::npos) return "";
  at = begin.find_first_not_of(" =\t\n\r\"'", begin.find_first_of("= \t\n\r", at));
  if (at == std::string::npos) return "";
  const std::string name = begin.substr(at, begin.find_first_of(" \t\n\r\"'/>;?", at) - at);
  if (name.starts_with("utf-16")) return "UTF-8";  // else nobody could read it in ASCII
  const auto* const other = std::ranges::find(kOtherNames, name, &Pair::first);
  return other == kOtherNames.end() ? name : std::string(other->second);
}

}  // namespace rotor::runtime::rag
