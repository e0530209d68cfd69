// What a knowledge base is made of: documents, which readers make of files, and the chunks that a search
// finds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rotor/formats/json.h"

namespace rotor::runtime::rag {

/// Where in its source a text lies; 0: unknown.
struct Place {
  int64_t line = 0;
  int64_t page = 0;
};

/// A piece of a document's structure.
struct Block {
  enum class Kind { heading, paragraph, list_item, code, table };
  Kind kind = Kind::paragraph;
  int64_t level = 0;  ///< of a heading 1 to 6, of a list item how deep it is nested
  std::string text;   ///< UTF-8
  Place place;
};

struct Document {
  std::string id;  ///< stable: by this it is updated and removed
  std::string title;
  std::string source;              ///< path or address that people can open
  Json metadata = Json::object();  ///< what filters ask for: a flat object of strings, numbers and booleans
  std::vector<Block> blocks;
};

struct Chunk {
  std::string key;      ///< 16 hexadecimal digits of document, contents and how often they came before in it
  std::string heading;  ///< "Title > Chapter > Section", above it in the document; "" if there is none
  std::string text;     ///< UTF-8
  Place place;
  int64_t tokens = 0;  ///< of heading and text
};

/// What is searched for and embedded.
std::string full_text(const Chunk& chunk);

}  // namespace rotor::runtime::rag
