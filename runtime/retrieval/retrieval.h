// What chat and server ask of a knowledge base before a question is answered, and what they get: sources, as
// the model reads them and as people see them. retriever.h does it; this header needs no knowledge base to be
// built.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rotor::runtime::retrieval {

enum class Mode {
  automatic,  ///< sources if the base has something that fits and the model is unsure
  always,     ///< whatever is found
  never
};

/// "auto", "always", "never".
const char* name(Mode mode);
/// Nothing for any other text.
std::optional<Mode> parse_mode(std::string_view text);

struct RetrievalOptions {
  Mode mode = Mode::automatic;
  int64_t count = 5;                     ///< sources at most
  int64_t budget_tokens = 1024;          ///< of the context as a whole, by the generating model's tokenizer
  std::vector<std::string> filter = {};  ///< conditions on documents, all of which hold (rag/filter.h)
  /// Automatic: no sources if even the best one's score is lower (Source::score).
  double min_score = 0.35;
  /// Automatic: no sources if the model is surer than that without them (nats,
  /// RetrievalRequest::uncertainty).
  double min_entropy = 0.5;
  std::chrono::milliseconds timeout{10'000};  ///< of the search

  /// Throws Error naming what is wrong; of the filter nothing.
  void validate() const;
};

/// A piece of a document that the model is shown.
struct Source {
  int64_t number = 0;  ///< by which answers name it, from 1
  std::string title;
  std::string source;   ///< path or address that people can open
  std::string heading;  ///< "Chapter > Section"; "" if there is none
  int64_t line = 0;     ///< where it begins; 0: unknown
  int64_t page = 0;
  /// How well it fits the question, -1 to 1: the cosine of their vectors; of bases without vectors the share
  /// of the question's words that it has (relevance.h). Nothing if it was found by words in a base with
  /// vectors.
  std::optional<double> score;
  std::string text;  ///< as the model reads it, lines separated by \n
  bool cut = false;  ///< it did not fit whole
};

/// "Title, Chapter > Section"; the title, or without one the source, stands there once. May be empty.
std::string name_of(const Source& source);

enum class Outcome {
  used,
  never,       ///< by its mode, or there was no question
  nothing,     ///< nothing was found
  irrelevant,  ///< automatic: what was found does not fit the question
  sure,        ///< automatic: the model needs no sources
  no_room,     ///< no source fits the budget
  failed       ///< the base could not be searched, or not in time
};
/// "used", ...
const char* name(Outcome outcome);

struct Retrieval {
  Outcome outcome = Outcome::never;
  std::string reason;  ///< a few words for people: "score 0.31 below 0.35"
  std::string
      failure;  ///< if it failed: why; it may name machines and files, but holds nothing of the question
  std::vector<Source> sources;  ///< empty unless used
  std::string context;          ///< what stands right before the question in the prompt; "" unless used
  double search_ms = 0.0;

  bool used() const { return outcome == Outcome::used; }
};

struct RetrievalRequest {
  std::string question;
  RetrievalOptions options;
  /// The mean entropy, in nats, of the next token over the first few tokens of the model's answer without
  /// sources; asked once at most. Empty, or nothing: not known, and sources are used. What it throws goes on.
  std::function<std::optional<double>()> uncertainty;
  /// Asked while the search goes on; false ends it as failed. May be empty.
  std::function<bool()> keep_going;
};

class SourceFinder {
 public:
  virtual ~SourceFinder() = default;
  /// What the base does wrong does not throw: that failed, and the answer goes on without sources.
  /// Thread-safe.
  virtual Retrieval retrieve(const RetrievalRequest& request) const = 0;
  /// Throws Error naming what is wrong, in the filter, too.
  virtual void check(const RetrievalOptions& options) const = 0;
};

}  // namespace rotor::runtime::retrieval
