// From JSON schemas to expressions of a grammar, one schema after another; what json_schema.h offers is a
// thin cover of it.
#pragma once

#include <map>
#include <string>

#include "runtime/grammar/json_pieces.h"
#include "runtime/grammar/schema_merge.h"

namespace rotor::runtime::grammar {

class SchemaCompiler {
 public:
  using Expression = GrammarBuilder::Expression;
  /// All must outlive this object; compiling spends from `budget`.
  SchemaCompiler(const OrderedJson& root, const std::string& source, GrammarBuilder& builder,
                 WorkBudget& budget);

  /// Values that `schema` allows; a schema that comes again is the same rule. Throws Error as
  /// compile_json_schema() does.
  Expression compile(const OrderedJson& schema, const std::string& pointer);

 private:
  using Plain = SchemaMerger::Plain;
  Expression compile_new(const OrderedJson& schema, const std::string& pointer);
  Expression compile_plain(const Plain& schema, const std::string& pointer);
  Expression compile_type(const std::string& type, const Plain& schema, const std::string& pointer);
  Expression compile_values(const Plain& schema, const std::string& pointer);
  Expression compile_string(const Plain& schema, const std::string& pointer);
  Expression compile_integer(const Plain& schema, const std::string& pointer);
  Expression compile_number(const Plain& schema, const std::string& pointer);
  Expression compile_array(const Plain& schema, const std::string& pointer);
  Expression compile_object(const Plain& schema, const std::string& pointer);
  Expression compile_dictionary(const Plain& schema, const std::string& pointer);

  SchemaMerger merger_;
  std::string source_;
  GrammarBuilder& builder_;
  WorkBudget& budget_;
  JsonPieces pieces_;
  std::map<std::string, Expression> compiled_;  // by the schema's text
  int depth_ = 0;
  int checks_ = 0;  // compilers that this one works for, one inside another
};

}  // namespace rotor::runtime::grammar
