#include "runtime/server/api/grammar_constraints.h"

#include <utility>

#include "runtime/grammar/gbnf.h"
#include "runtime/grammar/grammar_constraint.h"
#include "runtime/grammar/json_schema.h"
#include "runtime/grammar/token_trie.h"

namespace rotor::runtime::server {
namespace {

class GrammarConstraints : public ConstraintFactory {
 public:
  explicit GrammarConstraints(const LanguageModel& model)
      : trie_(std::make_shared<const grammar::TokenTrie>(*model.tokenizer())),
        stop_tokens_(model.stop_tokens()) {}

  ConstraintMaker from_gbnf(const std::string& text) const override {
    return constraint(grammar::parse_gbnf(text, "grammar"));
  }
  ConstraintMaker from_json_schema(const OrderedJson& schema) const override {
    return constraint(grammar::compile_json_schema(schema, "schema"));
  }
  ConstraintMaker any_json_object() const override { return constraint(object_); }

 private:
  ConstraintMaker constraint(std::shared_ptr<const grammar::Grammar> of) const {
    return [of = std::move(of), trie = trie_, stop_tokens = stop_tokens_] {
      return std::make_shared<grammar::GrammarConstraint>(of, trie, stop_tokens);
    };
  }

  std::shared_ptr<const grammar::TokenTrie> trie_;
  std::vector<text::TokenId> stop_tokens_;
  std::shared_ptr<const grammar::Grammar> object_ = grammar::any_json_object();
};

}  // namespace

std::shared_ptr<const ConstraintFactory> grammar_constraints(const LanguageModel& model) {
  if (model.tokenizer() == nullptr || model.stop_tokens().empty()) return nullptr;
  return std::make_shared<GrammarConstraints>(model);
}

}  // namespace rotor::runtime::server
