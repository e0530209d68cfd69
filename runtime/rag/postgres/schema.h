// The tables of a base (docs/rag.md shows them to people).
#pragma once

#include <cstdint>
#include <string>

namespace rotor::runtime::rag {

inline constexpr int64_t kPostgresVersion = 1;

// `base` holds what BaseConfig says and the version. `fields` are the documents' metadata for filters; of
// long texts an index has the beginning. `words` are a chunk's stems, as FTS5 cuts them. `totals` add up to
// how many chunks and words there are: each change adds a row, so that writers do not wait for one another,
// and now and then one row takes the place of all. Rows are kept whole: searches read many of them.
inline constexpr const char* kPostgresSchema = R"sql(
CREATE TABLE base(name text PRIMARY KEY, value text NOT NULL);
CREATE TABLE notes(name text COLLATE "C" PRIMARY KEY, text text NOT NULL);
CREATE TABLE documents(
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text COLLATE "C" NOT NULL UNIQUE, title text NOT NULL,
  source text NOT NULL, content text NOT NULL, metadata text NOT NULL, updated bigint NOT NULL);
CREATE TABLE fields(
  document bigint NOT NULL REFERENCES documents ON DELETE CASCADE, field text NOT NULL,
  text text COLLATE "C" NOT NULL, number float8);
CREATE INDEX fields_of_document ON fields(document);
CREATE INDEX fields_by_text ON fields(field, left(text, 100), document);
CREATE INDEX fields_by_number ON fields(field, number, document) WHERE number IS NOT NULL;
CREATE TABLE chunks(
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, document bigint NOT NULL REFERENCES documents ON DELETE CASCADE,
  position integer NOT NULL, key text NOT NULL, heading text NOT NULL, text text NOT NULL, line bigint NOT NULL,
  page bigint NOT NULL, tokens bigint NOT NULL);
CREATE INDEX chunks_of_document ON chunks(document, position);
CREATE TABLE words(
  chunk bigint PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, length integer NOT NULL, words tsvector NOT NULL)
  WITH (toast_tuple_target = 8160);
CREATE INDEX chunks_with_word ON words USING gin(words);
CREATE TABLE totals(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, chunks bigint NOT NULL, words bigint NOT NULL);
)sql";

/// Of bases with vectors.
inline std::string postgres_vector_table(int64_t dimensions) {
  return "CREATE TABLE vectors(chunk bigint PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, vector vector(" +
         std::to_string(dimensions) + ") NOT NULL) WITH (toast_tuple_target = 8160)";
}

}  // namespace rotor::runtime::rag
