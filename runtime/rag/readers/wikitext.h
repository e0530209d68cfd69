// Wikipedia's markup, as far as reading it as text takes: headings, paragraphs, lists and code stay;
// templates, tables, references, pictures and marks of style go. Of templates, those that stand for a text
// in a sentence are read: {{convert|5|km}}, {{lang|fr|oui}}, {{nowrap|...}}.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rag/document.h"

namespace rotor::runtime::rag {

/// `spaces`: names of the namespaces of files and categories in the wiki's language; the English ones are
/// known. Sections without a text are left out. Takes time and memory of the text's size.
std::vector<Block> read_wikitext(std::string_view text, std::span<const std::string> spaces = {});

}  // namespace rotor::runtime::rag
