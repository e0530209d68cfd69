// Plain schemas, type by type; objects and arrays are in schema_containers.cpp.
#include "runtime/grammar/schema_compiler.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "rotor/core/error.h"
#include "runtime/grammar/json_schema.h"
#include "runtime/grammar/number_ranges.h"
#include "runtime/grammar/string_formats.h"
#include "runtime/grammar/string_pattern.h"

namespace rotor::runtime::grammar {
namespace {

constexpr int kMaxDepth = 200;
/// Of schemas with enum or const whose other keywords hold such schemas again: each is compiled by itself.
constexpr int kMaxChecks = 8;
constexpr size_t kMaxSchemaBytes = size_t{256} << 10;
/// Some tenths of a second.
constexpr uint64_t kMaxWork = uint64_t{1} << 25;
/// Of making a grammar, for each of its positions.
constexpr uint64_t kWorkPerPosition = 64;
constexpr double kIntegerLimit = 1e18;
constexpr std::array kNumberKeywords = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
                                        "multipleOf"};

int64_t count_of(const OrderedJson& schema, const char* key, int64_t otherwise) {
  return schema.contains(key) ? static_cast<int64_t>(schema[key].get<double>()) : otherwise;
}

/// In decimal, without an exponent, so many digits that it is this double and no other.
std::string decimal(const OrderedJson& number) {
  if (number.is_number_integer()) return number.dump();
  std::array<char, 400> text{};
  const auto end =
      std::to_chars(text.data(), text.data() + text.size(), number.get<double>(), std::chars_format::fixed);
  return {text.data(), end.ptr};
}

/// The whole number next to a bound on the side that it allows; far-off ones are cut to the largest there is.
int64_t whole_bound(const OrderedJson& number, bool is_min, bool exclusive) {
  const auto cut = [&](double value) {
    return value > 0 ? NumberRanges::kLargestInteger + 1 : -NumberRanges::kLargestInteger - 1;
  };
  const auto value = number.get<double>();
  if (std::fabs(value) >= kIntegerLimit) return cut(value);
  const int64_t whole = number.is_number_integer()
                            ? number.get<int64_t>()
                            : static_cast<int64_t>(is_min ? std::ceil(value) : std::floor(value));
  const bool is_bound = number.is_number_integer() || static_cast<double>(whole) == value;
  return exclusive && is_bound ? whole + (is_min ? 1 : -1) : whole;
}

std::string pointer_of(const std::string& pointer) {
  return pointer.empty() ? "#" : pointer;
}

}  // namespace

SchemaCompiler::SchemaCompiler(const OrderedJson& root, const std::string& source, GrammarBuilder& builder,
                               WorkBudget& budget)
    : merger_(root, source, budget), source_(source), builder_(builder), budget_(budget), pieces_(builder) {}

SchemaCompiler::Expression SchemaCompiler::compile(const OrderedJson& schema, const std::string& pointer) {
  if (schema == OrderedJson(false)) return GrammarBuilder::kNever;
  const std::string text = schema.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  budget_.spend(text.size() + pointer.size());
  if (const auto known = compiled_.find(text); known != compiled_.end()) return known->second;
  if (++depth_ > kMaxDepth) merger_.refuse(pointer, "schemas that are less deep", schema);
  const GrammarBuilder::Rule rule = builder_.declare(pointer, source_);
  const Expression call = builder_.call(rule);
  compiled_[text] = call;
  builder_.define(rule, compile_new(schema, pointer));
  --depth_;
  return call;
}

/// References and alternatives that stand alone are kept as they are: that is how schemas recur.
SchemaCompiler::Expression SchemaCompiler::compile_new(const OrderedJson& schema,
                                                       const std::string& pointer) {
  std::vector<std::string> keys;
  if (schema.is_object()) {
    for (const auto& [key, value] : schema.items()) {
      const bool is_shelf = key == "$defs" || key == "definitions";
      if (!SchemaMerger::says_nothing(key) && !is_shelf) keys.push_back(key);
    }
  }
  if (keys == std::vector<std::string>{"$ref"} && schema["$ref"].is_string()) {
    const std::string ref = schema["$ref"];
    return compile(merger_.resolve(ref, deeper(pointer, "$ref")), ref);
  }
  if (keys == std::vector<std::string>{"anyOf"} && schema["anyOf"].is_array() && !schema["anyOf"].empty()) {
    std::vector<Expression> alternatives;
    for (const OrderedJson& branch : schema["anyOf"]) {
      const std::string place = cat(pointer, "/anyOf/", alternatives.size());
      alternatives.push_back(compile(branch, place));
    }
    return builder_.choice(std::move(alternatives));
  }
  std::vector<Expression> alternatives;
  for (const Plain& plain : merger_.plain(schema, pointer)) {
    alternatives.push_back(compile_plain(plain, pointer));
  }
  return builder_.choice(std::move(alternatives));
}

SchemaCompiler::Expression SchemaCompiler::compile_plain(const Plain& schema, const std::string& pointer) {
  if (schema.contains("enum")) return compile_values(schema, pointer);
  if (schema.empty()) return pieces_.any_value();
  std::vector<Expression> alternatives;
  for (const std::string& type : SchemaMerger::types(schema, true)) {
    alternatives.push_back(compile_type(type, schema, pointer));
  }
  return builder_.choice(std::move(alternatives));
}

SchemaCompiler::Expression SchemaCompiler::compile_type(const std::string& type, const Plain& schema,
                                                        const std::string& pointer) {
  if (type == "object") return compile_object(schema, pointer);
  if (type == "array") return compile_array(schema, pointer);
  if (type == "string") return compile_string(schema, pointer);
  if (type == "integer") return compile_integer(schema, pointer);
  if (type == "number") return compile_number(schema, pointer);
  if (type == "null") return builder_.literal("null");
  return builder_.choice({builder_.literal("true"), builder_.literal("false")});
}

/// The values that the other keywords take as well: those are a grammar of their own, which is tried.
SchemaCompiler::Expression SchemaCompiler::compile_values(const Plain& schema, const std::string& pointer) {
  Plain others = schema;
  others.erase("enum");
  std::shared_ptr<const Grammar> check;
  if (!others.empty()) {
    if (checks_ == kMaxChecks) {
      merger_.refuse(pointer, cat("at most ", kMaxChecks, " schemas with enum or const inside one another"),
                     schema["enum"]);
    }
    GrammarBuilder builder(source_, kJsonDepth);
    SchemaCompiler compiler(merger_.root(), source_, builder, budget_);
    compiler.depth_ = depth_;
    compiler.checks_ = checks_ + 1;
    const GrammarBuilder::Rule root = builder.declare(pointer_of(pointer), source_);
    builder.define(root, compiler.compile(others, pointer));
    check = builder.build(root);
    budget_.spend(kWorkPerPosition * check->num_positions());
  }
  std::vector<Expression> alternatives;
  for (const OrderedJson& value : schema["enum"]) {
    if (check && !check->matches(value.dump(), budget_)) continue;
    alternatives.push_back(pieces_.value(value));
  }
  return builder_.choice(std::move(alternatives));
}

SchemaCompiler::Expression SchemaCompiler::compile_string(const Plain& schema, const std::string& pointer) {
  const int64_t min = count_of(schema, "minLength", 0);
  const int64_t max = count_of(schema, "maxLength", GrammarBuilder::kUnlimited);
  if (max != GrammarBuilder::kUnlimited && max < min) return GrammarBuilder::kNever;
  if (schema.contains("format")) {
    for (const char* key : {"pattern", "minLength", "maxLength"}) {
      if (schema.contains(key)) merger_.refuse(deeper(pointer, key), "none beside format", schema[key]);
    }
    const auto content = compile_format(schema["format"], builder_);
    if (!content) {
      merger_.refuse(deeper(pointer, "format"), "one of the formats " + known_formats(), schema["format"]);
    }
    return pieces_.quoted(*content);
  }
  if (!schema.contains("pattern")) {
    if (std::max(min, max) > kMaxRepetitions) {
      merger_.refuse(deeper(pointer, min > kMaxRepetitions ? "minLength" : "maxLength"),
                     cat("at most ", kMaxRepetitions), std::max(min, max));
    }
    return pieces_.string(min, max);
  }
  const std::string where = cat(source_, ": ", deeper(pointer, "pattern"));
  const StringContent content = compile_pattern(schema["pattern"], where, pieces_);
  const bool long_enough = content.min_length >= min;
  const bool short_enough = max == GrammarBuilder::kUnlimited ||
                            (content.max_length != GrammarBuilder::kUnlimited && content.max_length <= max);
  if (!long_enough || !short_enough) {
    merger_.refuse(deeper(pointer, long_enough ? "maxLength" : "minLength"),
                   "a length that the pattern keeps by itself, or no pattern", long_enough ? max : min);
  }
  return pieces_.quoted(content.expression);
}

SchemaCompiler::Expression SchemaCompiler::compile_integer(const Plain& schema, const std::string& pointer) {
  if (std::ranges::none_of(kNumberKeywords, [&](const char* key) { return schema.contains(key); })) {
    return pieces_.integer();
  }
  int64_t min = -NumberRanges::kLargestInteger;
  int64_t max = NumberRanges::kLargestInteger;
  if (schema.contains("minimum")) min = std::max(min, whole_bound(schema["minimum"], true, false));
  if (schema.contains("exclusiveMinimum")) {
    min = std::max(min, whole_bound(schema["exclusiveMinimum"], true, true));
  }
  if (schema.contains("maximum")) max = std::min(max, whole_bound(schema["maximum"], false, false));
  if (schema.contains("exclusiveMaximum")) {
    max = std::min(max, whole_bound(schema["exclusiveMaximum"], false, true));
  }
  int64_t multiple = 1;
  if (schema.contains("multipleOf")) {
    const auto step = schema["multipleOf"].get<double>();
    const bool divides_one = step < 1 && std::round(1 / step) * step == 1;
    if (!divides_one && (step != std::floor(step) || step >= kIntegerLimit)) {
      merger_.refuse(deeper(pointer, "multipleOf"), "a whole number, or 1 divided by one",
                     schema["multipleOf"]);
    }
    multiple = divides_one ? 1 : static_cast<int64_t>(step);
  }
  try {
    return NumberRanges(builder_).integers(min, max, multiple);
  } catch (const Error& error) {
    fail(source_, ": ", deeper(pointer, "multipleOf"), ": ", error.what());
  }
}

SchemaCompiler::Expression SchemaCompiler::compile_number(const Plain& schema, const std::string& pointer) {
  std::optional<NumberBound> min;
  std::optional<NumberBound> max;
  // Of two bounds on one side the stricter; of equal ones, the exclusive one.
  const auto bound = [&](const char* inclusive, const char* exclusive, bool is_min) {
    std::optional<NumberBound> result;
    const bool both = schema.contains(inclusive) && schema.contains(exclusive);
    const bool takes_inclusive =
        schema.contains(inclusive) &&
        (!both || (is_min ? schema[inclusive] > schema[exclusive] : schema[inclusive] < schema[exclusive]));
    if (takes_inclusive) {
      result = {decimal(schema[inclusive]), false};
    } else if (schema.contains(exclusive)) {
      result = {decimal(schema[exclusive]), true};
    }
    return result;
  };
  min = bound("minimum", "exclusiveMinimum", true);
  max = bound("maximum", "exclusiveMaximum", false);
  size_t fraction_digits = NumberRanges::kDecimalDigits;
  if (schema.contains("multipleOf")) {
    const std::string step = decimal(schema["multipleOf"]);
    const bool is_power = step.size() <= 12 && step.starts_with("0.") && step.back() == '1' &&
                          std::count(step.begin(), step.end(), '0') == std::ssize(step) - 2;
    if (!is_power) return compile_integer(schema, pointer);
    fraction_digits = step.size() - 2;
  } else if (!min && !max) {
    return pieces_.number();
  }
  try {
    return NumberRanges(builder_).decimals(min, max, fraction_digits);
  } catch (const Error& error) {
    const bool of_min =
        min && error.what() == cat("expected a number of at most 15 digits, found ", min->value);
    const char* key = of_min ? (schema.contains("minimum") ? "minimum" : "exclusiveMinimum")
                             : (schema.contains("maximum") ? "maximum" : "exclusiveMaximum");
    fail(source_, ": ", deeper(pointer, key), ": ", error.what());
  }
}

std::shared_ptr<const Grammar> compile_json_schema(const OrderedJson& schema, const std::string& source,
                                                   const JsonSurroundings& around) {
  const size_t schema_bytes = schema.dump(-1, ' ', false, OrderedJson::error_handler_t::replace).size();
  if (schema_bytes > kMaxSchemaBytes) {
    fail(source, ": expected a schema of at most ", kMaxSchemaBytes, " bytes, found ", schema_bytes);
  }
  WorkBudget budget(source, kMaxWork);
  GrammarBuilder builder(source, kJsonDepth);
  SchemaCompiler compiler(schema, source, builder, budget);
  const GrammarBuilder::Rule root = builder.declare("#", source);
  builder.define(root, builder.sequence({builder.literal(around.before), compiler.compile(schema, "#"),
                                         builder.literal(around.after)}));
  return builder.build(root);
}

std::shared_ptr<const Grammar> any_json_object() {
  GrammarBuilder builder("JSON", kJsonDepth);
  JsonPieces pieces(builder);
  const GrammarBuilder::Rule root = builder.declare("object");
  builder.define(root, pieces.any_object());
  return builder.build(root);
}

}  // namespace rotor::runtime::grammar
