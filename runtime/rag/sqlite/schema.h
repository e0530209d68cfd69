// The tables of a base (docs/rag.md shows them to people).
#pragma once

#include <cstdint>

namespace rotor::runtime::rag {

inline constexpr int64_t kApplicationId = 0x526F7452;  ///< "RotR", PRAGMA application_id
inline constexpr int64_t kSchemaVersion = 1;           ///< PRAGMA user_version

// `base` holds what BaseConfig says, the base's own name (`id`) and the number of the last change
// (`generation`). `fields` are the documents' metadata for filters. A chunk's `generation` is that of the
// change that brought it; `removed` are the chunks that went, for indexes that still have them. `words` takes
// its texts from `chunks`.
inline constexpr const char* kSchema = R"sql(
CREATE TABLE base(name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE notes(name TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents(
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, source TEXT NOT NULL, content TEXT NOT NULL,
  metadata TEXT NOT NULL, updated INTEGER NOT NULL);
CREATE TABLE fields(document INTEGER NOT NULL, field TEXT NOT NULL, text TEXT NOT NULL, number REAL);
CREATE INDEX fields_of_document ON fields(document);
CREATE INDEX fields_by_text ON fields(field, text, document);
CREATE INDEX fields_by_number ON fields(field, number, document) WHERE number IS NOT NULL;
CREATE TABLE chunks(
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL,
  heading TEXT NOT NULL, text TEXT NOT NULL, line INTEGER NOT NULL, page INTEGER NOT NULL, tokens INTEGER NOT NULL,
  generation INTEGER NOT NULL);
CREATE INDEX chunks_of_document ON chunks(document, position);
CREATE INDEX chunks_by_generation ON chunks(generation);
CREATE TABLE vectors(chunk INTEGER PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE removed(chunk INTEGER PRIMARY KEY, generation INTEGER NOT NULL);
CREATE INDEX removed_by_generation ON removed(generation);
)sql";

}  // namespace rotor::runtime::rag
