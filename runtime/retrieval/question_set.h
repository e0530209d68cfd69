// Questions whose answers, and perhaps documents, are known: what models learn from, and are measured by.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/rag/store.h"
#include "runtime/retrieval/retrieval.h"

namespace rotor::runtime::retrieval {

struct AnsweredQuestion {
  std::string question;
  std::vector<std::string> answers;  ///< at least one; the first is the one to learn
  std::string document;              ///< which says it; "": not known
  std::string where;                 ///< "questions.jsonl, line 3"
};

/// JSON lines {"question": TEXT, "answer": TEXT or "answers": [TEXT, ...], "document": ...}, the last being
/// a document's id in a base, or its end behind a "/" or "#": "notes/tides.md", "tides.md", 17. It may be
/// missing, and may be called "passage_id". Other fields are passed over. Throws Error naming file and line.
std::vector<AnsweredQuestion> read_questions(const std::string& path);

/// As SQuAD compares answers (Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1): in small letters,
/// without ASCII's punctuation, without "a", "an" and "the", one blank between words. Letters beyond ASCII
/// stay as they are.
std::string normalized_answer(std::string_view text);

/// Whether the words of one of `answers`, normalized, stand in those of `text`. An answer that has no words
/// stands nowhere.
bool has_answer(std::string_view text, std::span<const std::string> answers);

/// Tells which sources hold an answer.
class RightSources {
 public:
  /// Looks up the documents of `questions`. Throws Error naming the first that the base has not, or of which
  /// it has several. `store` must outlive this.
  RightSources(rag::Store& store, std::span<const AnsweredQuestion> questions);

  /// Numbers of the sources of the question's document, those that have an answer's words first; without a
  /// document, of all that have them.
  std::vector<int64_t> of(const AnsweredQuestion& question, std::span<const Source> sources) const;

 private:
  bool is_of(const std::string& document, const Source& source) const;

  std::unique_ptr<rag::Snapshot> snapshot_;
  std::map<std::string, std::string> ids_;  ///< by what questions call them
};

}  // namespace rotor::runtime::retrieval
