// Wikipedia's markup, as far as reading it as text takes: headings, paragraphs and lists stay; templates,
// tables, references, pictures and marks of style go.
#pragma once

#include <string_view>
#include <vector>

#include "runtime/rag/document.h"

namespace rotor::runtime::rag {

std::vector<Block> read_wikitext(std::string_view text);

}  // namespace rotor::runtime::rag
