#include "runtime/retrieval/retrieval.h"

#include "rotor/core/error.h"

namespace rotor::runtime::retrieval {

const char* name(Mode mode) {
  switch (mode) {
    case Mode::automatic:
      return "auto";
    case Mode::always:
      return "always";
    case Mode::never:
      return "never";
  }
  return "";
}

std::optional<Mode> parse_mode(std::string_view text) {
  for (const Mode mode : {Mode::automatic, Mode::always, Mode::never}) {
    if (text == name(mode)) return mode;
  }
  return std::nullopt;
}

std::string name_of(const Source& source) {
  const std::string& title = source.title.empty() ? source.source : source.title;
  const std::string& heading = source.heading;
  if (heading.empty()) return title;
  // The title is often the document's first heading.
  if (title.empty() || heading == title || heading.starts_with(title + " > ")) return heading;
  return cat(title, ", ", heading);
}

const char* name(Outcome outcome) {
  switch (outcome) {
    case Outcome::used:
      return "used";
    case Outcome::never:
      return "never";
    case Outcome::nothing:
      return "nothing";
    case Outcome::irrelevant:
      return "irrelevant";
    case Outcome::sure:
      return "sure";
    case Outcome::no_room:
      return "no_room";
    case Outcome::failed:
      return "failed";
  }
  return "";
}

void RetrievalOptions::validate() const {
  if (count < 1 || count > 100) fail("retrieval: count: expected 1 to 100 sources, found ", count);
  if (budget_tokens < 1) fail("retrieval: budget: expected at least 1 token, found ", budget_tokens);
  if (!(min_score >= -1.0 && min_score <= 1.0))
    fail("retrieval: min_score: expected -1 to 1, found ", min_score);
  if (!(min_entropy >= 0.0)) fail("retrieval: entropy: expected 0 nats or more, found ", min_entropy);
}

}  // namespace rotor::runtime::retrieval
