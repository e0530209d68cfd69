// The other half of SchemaCompiler: arrays and objects. What follows each item or member is noted down once,
// from the last one forward, so that many optional members stay few positions.
#include <algorithm>

#include "rotor/core/error.h"
#include "runtime/grammar/schema_compiler.h"

namespace rotor::runtime::grammar {
namespace {

/// A name beside additionalProperties is told from others byte by byte, each inside the one before.
constexpr size_t kMaxNameBytes = 256;

int64_t count_of(const OrderedJson& schema, const char* key, int64_t otherwise) {
  return schema.contains(key) ? static_cast<int64_t>(schema[key].get<double>()) : otherwise;
}

}  // namespace

SchemaCompiler::Expression SchemaCompiler::compile_array(const Plain& schema, const std::string& pointer) {
  const int64_t min = count_of(schema, "minItems", 0);
  const int64_t max = count_of(schema, "maxItems", GrammarBuilder::kUnlimited);
  if (max != GrammarBuilder::kUnlimited && max < min) return GrammarBuilder::kNever;
  if (std::max(min, max) > kMaxRepetitions) {
    merger_.refuse(deeper(pointer, min > kMaxRepetitions ? "minItems" : "maxItems"),
                   cat("at most ", kMaxRepetitions), std::max(min, max));
  }
  if (schema.contains("uniqueItems") && schema["uniqueItems"] == OrderedJson(true) &&
      (max == GrammarBuilder::kUnlimited || max > 1)) {
    merger_.refuse(deeper(pointer, "uniqueItems"), "false: no grammar can compare items", true);
  }
  if (max == 0) return builder_.literal("[]");
  int64_t prefix = schema.contains("prefixItems") ? std::ssize(schema["prefixItems"]) : 0;
  if (max != GrammarBuilder::kUnlimited) prefix = std::min(prefix, max);
  const Expression item =
      max == prefix ? GrammarBuilder::kNever
                    : compile(SchemaMerger::item_schema(schema, SIZE_MAX), deeper(pointer, "items"));
  const Expression next_item = builder_.sequence({pieces_.comma(), item});
  const int64_t before = std::max<int64_t>(prefix, 1);
  Expression inside =
      builder_.repeat(next_item, std::max<int64_t>(min - before, 0),
                      max == GrammarBuilder::kUnlimited ? GrammarBuilder::kUnlimited : max - before);
  if (prefix == 0) inside = builder_.sequence({item, inside});
  for (int64_t i = prefix; i-- > 0;) {
    const Expression own = compile(schema["prefixItems"][static_cast<size_t>(i)],
                                   deeper(deeper(pointer, "prefixItems"), std::to_string(i)));
    inside = builder_.sequence({i > 0 ? pieces_.comma() : GrammarBuilder::kNothing, own, inside});
    if (i > 0 && i >= min) inside = builder_.optional(inside);
  }
  return pieces_.enclosed("[", inside, "]", min == 0);
}

/// An object of members that have no names of their own.
SchemaCompiler::Expression SchemaCompiler::compile_dictionary(const Plain& schema,
                                                              const std::string& pointer) {
  const int64_t min = count_of(schema, "minProperties", 0);
  const int64_t max = count_of(schema, "maxProperties", GrammarBuilder::kUnlimited);
  if (min > 1)
    merger_.refuse(deeper(pointer, "minProperties"), "at most 1: no grammar can compare keys", min);
  if (max > kMaxRepetitions) {
    merger_.refuse(deeper(pointer, "maxProperties"), cat("at most ", kMaxRepetitions), max);
  }
  if (max != GrammarBuilder::kUnlimited && max < min) return GrammarBuilder::kNever;
  if (max == 0) return builder_.literal("{}");
  const Expression value =
      compile(SchemaMerger::member_schema(schema, ""), deeper(pointer, "additionalProperties"));
  const Expression member = pieces_.other_member({}, value);
  const Expression more =
      builder_.repeat(builder_.sequence({pieces_.comma(), member}), 0,
                      max == GrammarBuilder::kUnlimited ? GrammarBuilder::kUnlimited : max - 1);
  return pieces_.enclosed("{", builder_.sequence({member, more}), "}", min == 0);
}

SchemaCompiler::Expression SchemaCompiler::compile_object(const Plain& schema, const std::string& pointer) {
  std::vector<std::string> names;
  std::set<std::string> known;
  const auto add = [&](const std::string& name) {
    if (known.insert(name).second) names.push_back(name);
  };
  if (schema.contains("properties")) {
    for (const auto& [name, value] : schema["properties"].items()) add(name);
  }
  std::set<std::string> required;
  if (schema.contains("required")) {
    for (const std::string name : schema["required"]) {
      required.insert(name);
      add(name);
    }
  }
  if (names.empty() && !schema.contains("properties")) return compile_dictionary(schema, pointer);
  if (names.size() > kMaxMembers) {
    merger_.refuse(deeper(pointer, "properties"), cat("at most ", kMaxMembers, " properties"), names.size());
  }
  const bool takes_others =
      schema.contains("additionalProperties") && schema["additionalProperties"] != OrderedJson(false);
  const int64_t min = count_of(schema, "minProperties", 0);
  const int64_t max = count_of(schema, "maxProperties", GrammarBuilder::kUnlimited);
  if (std::cmp_less(required.size(), min)) {
    merger_.refuse(deeper(pointer, "minProperties"),
                   "a number that the required properties keep by themselves", min);
  }
  if (max != GrammarBuilder::kUnlimited && (takes_others || std::cmp_greater(names.size(), max))) {
    merger_.refuse(deeper(pointer, "maxProperties"), "a number that the properties keep by themselves", max);
  }
  // `more`: what may come behind a member; `first`: what may come where none has been.
  Expression more = GrammarBuilder::kNothing;
  Expression first = GrammarBuilder::kNever;
  if (takes_others) {
    const Expression value = compile(schema["additionalProperties"], deeper(pointer, "additionalProperties"));
    for (const std::string& name : known) {
      if (name.size() <= kMaxNameBytes) continue;
      merger_.refuse(deeper(pointer, "additionalProperties"),
                     cat("names of at most ", kMaxNameBytes, " bytes beside it"), name);
    }
    const Expression other = pieces_.other_member(known, value);
    more = builder_.repeat(builder_.sequence({pieces_.comma(), other}), 0, GrammarBuilder::kUnlimited);
    first = builder_.sequence({other, more});
  }
  for (size_t i = names.size(); i-- > 0;) {
    const std::string place = deeper(deeper(pointer, "properties"), names[i]);
    const Expression member =
        pieces_.member(names[i], compile(SchemaMerger::member_schema(schema, names[i]), place));
    const Expression here = builder_.sequence({member, more});
    const Expression behind = builder_.sequence({pieces_.comma(), member, more});
    const bool is_required = required.contains(names[i]);
    first = is_required ? here : builder_.choice({here, first});
    more = is_required ? behind : builder_.choice({behind, more});
  }
  return pieces_.enclosed("{", first, "}", required.empty());
}

}  // namespace rotor::runtime::grammar
