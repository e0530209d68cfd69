#include "runtime/retrieval/question_set.h"

#include <algorithm>
#include <fstream>
#include <sstream>

#include "rotor/core/error.h"
#include "runtime/rag/documents.h"
#include "runtime/retrieval/context.h"

namespace rotor::runtime::retrieval {
namespace {

std::string text_of(const Json& object, const char* field, const std::string& where) {
  if (!object.contains(field) || !object[field].is_string() || object[field].get<std::string>().empty())
    fail(where, ": ", field, ": expected a text, found ",
         object.contains(field) ? quote_json(object[field]) : "none");
  return object[field];
}

std::vector<std::string> answers_of(const Json& object, const std::string& where) {
  if (!object.contains("answers")) return {text_of(object, "answer", where)};
  const Json& answers = object["answers"];
  const auto is_text = [](const Json& one) { return one.is_string() && !one.get<std::string>().empty(); };
  if (!answers.is_array() || answers.empty() || !std::ranges::all_of(answers, is_text))
    fail(where, ": answers: expected an array of texts, found ", quote_json(answers));
  return answers.get<std::vector<std::string>>();
}

std::string document_of(const Json& object, const std::string& where) {
  for (const char* field : {"document", "passage_id"}) {
    if (!object.contains(field) || object[field].is_null()) continue;
    if (object[field].is_number_integer()) return object[field].dump();
    return text_of(object, field, where);
  }
  return "";
}

std::string joined_lines(const std::string& text, char between) {
  std::string joined;
  for (const std::string& line : plain_lines(text)) {
    if (!joined.empty()) joined += between;
    joined += line;
  }
  return joined;
}

/// Calls `on_name` with an id and all its ends that may stand for it.
void for_each_name(const std::string& id, const std::function<void(const std::string&)>& on_name) {
  on_name(id);
  for (size_t at = id.find_first_of("/#"); at != std::string::npos; at = id.find_first_of("/#", at + 1))
    on_name(id.substr(at + 1));
}

}  // namespace

std::vector<AnsweredQuestion> read_questions(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail(path, ": cannot open");
  std::vector<AnsweredQuestion> questions;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const std::string where = cat(path, ", line ", number);
    const Json object = parse_json(line, where);
    if (!object.is_object()) fail(where, ": expected an object, found ", quote_json(object));
    questions.push_back(
        {text_of(object, "question", where), answers_of(object, where), document_of(object, where), where});
  }
  if (questions.empty()) fail(path, ": expected questions, a JSON object a line, found none");
  return questions;
}

std::string normalized_answer(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const bool is_upper = c >= 'A' && c <= 'Z';
    const bool is_blank = c == ' ' || (c >= '\t' && c <= '\r');
    const bool is_punctuation =
        c > ' ' && c < 0x7F && !is_upper && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9');
    if (!is_punctuation) plain += is_upper ? static_cast<char>(c - 'A' + 'a') : is_blank ? ' ' : c;
  }
  std::string words;
  std::istringstream in(plain);
  for (std::string word; in >> word;) {
    if (word == "a" || word == "an" || word == "the") continue;
    words += cat(words.empty() ? "" : " ", word);
  }
  return words;
}

bool has_answer(std::string_view text, std::span<const std::string> answers) {
  const std::string words = cat(" ", normalized_answer(text), " ");
  return std::ranges::any_of(answers, [&](const std::string& answer) {
    const std::string wanted = normalized_answer(answer);
    return !wanted.empty() && words.find(cat(" ", wanted, " ")) != std::string::npos;
  });
}

RightSources::RightSources(rag::Store& store, std::span<const AnsweredQuestion> questions)
    : snapshot_(store.records()) {
  for (const AnsweredQuestion& question : questions) {
    if (!question.document.empty()) ids_[question.document];
  }
  std::map<std::string, std::string> others;  // of names that several documents have, another one
  rag::for_each_document(*snapshot_, {}, [&](const rag::DocumentRecord& document) {
    for_each_name(document.id, [&](const std::string& name) {
      const auto known = ids_.find(name);
      if (known == ids_.end() || known->second == name) return;  // an id stands for its document alone
      if (!known->second.empty() && name != document.id) others[name] = document.id;
      if (known->second.empty() || name == document.id) known->second = document.id;
    });
    return !ids_.empty();
  });
  for (const AnsweredQuestion& question : questions) {
    if (question.document.empty()) continue;
    const std::string& id = ids_[question.document];
    if (id.empty())
      fail(question.where, ": document: expected one that is in ", store.name(), ", found \"",
           question.document, "\"");
    if (id != question.document && others.contains(question.document))
      fail(question.where, ": document: expected the name of one document, found \"", question.document,
           "\", which may be ", id, " and ", others[question.document]);
  }
}

bool RightSources::is_of(const std::string& document, const Source& source) const {
  const auto chunks = snapshot_->chunks_of(document);
  return std::ranges::any_of(chunks, [&](const rag::StoredChunk& stored) {
    // A source may be several chunks that overlap, or the beginning of one.
    const std::string text = joined_lines(stored.chunk.text, '\n');
    return joined_lines(stored.document.title, ' ') == source.title &&
           joined_lines(stored.chunk.heading, ' ') == source.heading &&
           (text.find(source.text) != std::string::npos || source.text.find(text) != std::string::npos);
  });
}

std::vector<int64_t> RightSources::of(const AnsweredQuestion& question,
                                      std::span<const Source> sources) const {
  std::vector<int64_t> with_words;
  std::vector<int64_t> others;
  for (const Source& source : sources) {
    const bool has_words = has_answer(source.text, question.answers);
    if (question.document.empty() ? !has_words : !is_of(ids_.at(question.document), source)) continue;
    (has_words ? with_words : others).push_back(source.number);
  }
  with_words.insert(with_words.end(), others.begin(), others.end());
  return with_words;
}

}  // namespace rotor::runtime::retrieval
