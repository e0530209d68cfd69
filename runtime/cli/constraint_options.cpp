// Reading of the flags that hold answers to a grammar.
#include "runtime/cli/constraint_options.h"

#include <string>

#include "rotor/core/error.h"
#include "rotor/formats/ordered_json.h"
#include "runtime/cli/model_options.h"
#include "runtime/cli/prompt.h"
#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/grammar_constraint.h"
#include "runtime/grammar/json_schema.h"

namespace rotor::runtime::cli {

void add_constraint_options(cxxopts::Options& options) {
  options.add_options("Sampling")("grammar", "file of a GBNF grammar that the new text obeys",
                                  cxxopts::value<std::string>())(
      "json-schema", "file of a JSON schema: the new text is JSON that it allows ({} allows any)",
      cxxopts::value<std::string>());
}

ConstraintOptions::ConstraintOptions(const cxxopts::ParseResult& parsed, const LanguageModel& model)
    : stop_tokens_(model.stop_tokens()) {
  const bool has_grammar = parsed.count("grammar") != 0;
  const bool has_schema = parsed.count("json-schema") != 0;
  if (!has_grammar && !has_schema) return;
  if (has_grammar && has_schema) fail("expected --grammar or --json-schema, found both");
  need_tokenizer(model, cat(has_grammar ? "--grammar" : "--json-schema", " cannot be used"));
  if (has_grammar) {
    const auto path = parsed["grammar"].as<std::string>();
    grammar_ = grammar::parse_gbnf(read_text_file(path), path);
  } else {
    const auto path = parsed["json-schema"].as<std::string>();
    grammar_ = grammar::compile_json_schema(read_ordered_json_file(path), path);
  }
  trie_ = std::make_shared<const grammar::TokenTrie>(*model.tokenizer());
}

std::shared_ptr<TokenConstraint> ConstraintOptions::make() const {
  if (!grammar_) return nullptr;
  return std::make_shared<grammar::GrammarConstraint>(grammar_, trie_, stop_tokens_);
}

}  // namespace rotor::runtime::cli
