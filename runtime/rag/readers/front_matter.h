// The lines of YAML between "---" that stand above many Markdown files: a flat mapping of texts, numbers,
// booleans and lists of them. What is nested deeper is left out; this is no reader of YAML.
#pragma once

#include <cstddef>
#include <string_view>

#include "rotor/formats/json.h"

namespace rotor::runtime::rag {

struct FrontMatter {
  Json fields = Json::object();
  size_t bytes = 0;  ///< with the lines around it; 0: `text` begins with none
};

FrontMatter read_front_matter(std::string_view text);

}  // namespace rotor::runtime::rag
