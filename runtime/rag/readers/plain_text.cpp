// Paragraphs, with empty lines between them.
#include <algorithm>

#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {

Document read_plain_text(std::string_view text) {
  Document document;
  bool inside = false;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view line = text.substr(0, end);
    const bool is_windows = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(text.size(), end + (is_windows ? 2 : 1)));
    ++number;
    const size_t last = line.find_last_not_of(" \t\f\v");  // a form feed ends a page, and is no line
    if (last == std::string_view::npos) {
      inside = false;
      continue;
    }
    if (inside) {
      document.blocks.back().text += '\n';
    } else {
      document.blocks.push_back({Block::Kind::paragraph, 0, "", {number, 0}});
    }
    document.blocks.back().text += line.substr(0, last + 1);
    inside = true;
  }
  return document;
}

}  // namespace rotor::runtime::rag
