// Paragraphs, with empty lines between them.
#include "runtime/rag/readers/reader.h"

namespace rotor::runtime::rag {

Document read_plain_text(std::string_view text) {
  Document document;
  bool inside = false;
  int64_t number = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n\f"), text.size());
    const std::string_view line = text.substr(0, end);
    const bool is_windows = text.substr(end).starts_with("\r\n");
    text.remove_prefix(std::min(text.size(), end + (is_windows ? 2 : 1)));
    ++number;
    if (line.find_first_not_of(" \t") == std::string_view::npos) {
      inside = false;
      continue;
    }
    if (inside) {
      document.blocks.back().text += "\n" + std::string(line);
    } else {
      document.blocks.push_back({Block::Kind::paragraph, 0, std::string(line), {number, 0}});
    }
    inside = true;
  }
  return document;
}

}  // namespace rotor::runtime::rag
