// Random schemas, and texts drawn from random logits at temperature 1.5 under each: all parse, and
// Valijson 1.0 (Debian's libvalijson-dev), which is not ours, finds all of them valid.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/sentencepiece.h"
#include "runtime/grammar/grammar_constraint.h"
#include "runtime/grammar/json_schema.h"
#include "tests/support/random.h"
#include "tests/support/rounds.h"
#include "tests/support/tokenizers.h"

namespace rotor::runtime::grammar {
namespace {

using text::TokenId;

class RandomSchemas {
 public:
  explicit RandomSchemas(uint64_t seed) : random_(seed) {}

  /// An object, with a part that recurs.
  OrderedJson make() {
    OrderedJson schema = object(3);
    schema["$defs"]["list"] = {
        {"type", "object"},
        {"properties",
         {{"value", scalar()}, {"next", {{"anyOf", {{{"type", "null"}}, {{"$ref", "#/$defs/list"}}}}}}}},
        {"required", {"value", "next"}},
        {"additionalProperties", false}};
    return schema;
  }

 private:
  bool chance(double probability) { return random_.uniform() < probability; }
  int64_t integer(int64_t low, int64_t high) { return random_.integer(low, high); }

  OrderedJson any(int depth) {
    if (depth == 0 || chance(0.4)) return scalar();
    switch (integer(0, 6)) {
      case 0:
        return object(depth - 1);
      case 1:
        return array(depth - 1);
      case 2:
        return {{"anyOf", {any(depth - 1), any(depth - 1)}}};
      case 3:
        return {{"$ref", "#/$defs/list"}};
      case 4:
        return {{"allOf", {object(depth - 1), object(0)}}};
      case 5:
        return {{"oneOf", {tagged("a", depth - 1), tagged("b", depth - 1), {{"type", "null"}}}}};
      default:
        return {{"type", {"array", "boolean"}}, {"items", scalar()}, {"maxItems", 2}};
    }
  }

  OrderedJson tagged(const char* tag, int depth) {
    OrderedJson schema = object(depth);
    schema["properties"]["tag"] = {{"const", tag}};
    schema["required"].push_back("tag");
    return schema;
  }

  OrderedJson object(int depth) {
    OrderedJson schema = {
        {"type", "object"}, {"properties", OrderedJson::object()}, {"required", OrderedJson::array()}};
    for (int64_t i = integer(0, 4); i > 0; --i) {
      const std::string name =
          std::string(1, static_cast<char>('a' + integer(0, 25))) + (chance(0.2) ? " \"é" : "");
      if (schema["properties"].contains(name)) continue;
      schema["properties"][name] = any(depth);
      if (chance(0.5)) schema["required"].push_back(name);
    }
    if (chance(0.2)) schema["additionalProperties"] = scalar();
    return schema;
  }

  OrderedJson array(int depth) {
    OrderedJson schema = {{"type", "array"}, {"items", any(depth)}};
    const int64_t min = integer(0, 3);
    if (chance(0.5)) schema["minItems"] = min;
    if (chance(0.5)) schema["maxItems"] = min + integer(0, 20);
    return schema;
  }

  OrderedJson scalar() {
    switch (integer(0, 8)) {
      case 0:
        return {{"type", "boolean"}};
      case 1:
        return {{"enum", {"red", 7, nullptr, "a\n", OrderedJson::array({1, "x"}), 0.5}}};
      case 2:
        return bounded("integer", [&] { return OrderedJson(integer(-3000, 3000)); });
      case 3:
        return bounded("number", [&] { return OrderedJson(static_cast<double>(integer(-3000, 3000)) / 8); });
      case 4: {
        const int64_t min = integer(0, 5);
        return {{"type", "string"}, {"minLength", min}, {"maxLength", min + integer(0, 60)}};
      }
      case 5:
        return {{"type", "string"}, {"pattern", chance(0.5) ? "^[a-f]{2,4}(-\\d+|x?)$" : "[0-9]."}};
      case 6:
        return {{"type", "string"}, {"format", chance(0.5) ? "date" : "ipv4"}};
      case 7:
        return {{"type", "integer"}, {"multipleOf", integer(2, 60)}};
      default:
        return {{"type", chance(0.5) ? "string" : "number"}};
    }
  }

  template <class Bound>
  OrderedJson bounded(const char* type, const Bound& bound) {
    OrderedJson schema = {{"type", type}};
    OrderedJson low = bound();
    OrderedJson high = bound();
    if (high < low) std::swap(low, high);
    if (low == high) return schema;
    if (chance(0.7)) schema[chance(0.5) || type[0] == 'i' ? "minimum" : "exclusiveMinimum"] = low;
    if (chance(0.7)) schema[chance(0.5) || type[0] == 'i' ? "maximum" : "exclusiveMaximum"] = high;
    return schema;
  }

  test::Random random_;
};

bool is_valid(const OrderedJson& schema, const std::string& text, std::string& reason) {
  const Json plain_schema = Json::parse(schema.dump());
  const Json value = Json::parse(text);
  valijson::Schema parsed;
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(valijson::adapters::NlohmannJsonAdapter(plain_schema), parsed);
  valijson::ValidationResults results;
  valijson::Validator validator;
  const bool valid = validator.validate(parsed, valijson::adapters::NlohmannJsonAdapter(value), &results);
  for (valijson::ValidationResults::Error error; results.popError(error);) reason += error.description + "; ";
  return valid;
}

/// Normal logits, in which what closes strings, lists and objects is likelier, as it is in models: else a
/// string would go on for hundreds of characters.
class RandomModel {
 public:
  RandomModel(const TokenTrie& trie, uint64_t seed) : trie_(trie), random_(seed) {}

  const std::vector<float>& logits(size_t length) {
    logits_ = random_.normals(static_cast<size_t>(trie_.vocab_size()));
    for (TokenId id = 0; id < trie_.vocab_size(); ++id) {
      const std::string_view bytes = trie_.bytes(id);
      const bool closes = bytes == "\"" || bytes == "]" || bytes == "}";
      const bool ends = bytes == "n";  // null ends what recurs
      const bool is_digit =
          bytes.size() == 1 && bytes[0] >= '0' && bytes[0] <= '9';  // a pattern asks for one
      const float likelier = length < 500 ? 5.0F : 12.0F;
      if (closes || ends || is_digit) logits_[static_cast<size_t>(id)] += likelier;
    }
    return logits_;
  }

 private:
  const TokenTrie& trie_;
  test::Random random_;
  std::vector<float> logits_;
};

void expect_valid_samples(const text::Tokenizer& tokenizer, TokenId end, int count, uint64_t seed) {
  const auto trie = std::make_shared<const TokenTrie>(tokenizer);
  RandomSchemas schemas(seed);
  RandomModel model(*trie, seed);
  size_t bytes = 0;
  int refused = 0;
  for (int i = 0; i < count; ++i) {
    const OrderedJson schema = schemas.make();
    std::shared_ptr<const Grammar> grammar;
    try {
      grammar = compile_json_schema(schema, "s");
    } catch (const Error&) {  // allOf made of random halves: their keywords may not go together
      ++refused;
      --i;
      continue;
    }
    Sampler sampler({.temperature = 1.5, .top_k = i % 2 == 0 ? 0 : 40, .seed = seed}, trie->vocab_size());
    sampler.set_constraint(std::make_shared<GrammarConstraint>(grammar, trie, std::vector{end}));
    std::string text;
    TokenId id = 0;
    for (size_t length = 0; id != end; ++length) {
      ASSERT_LT(length, 20000U) << schema << ": " << text;
      ASSERT_NO_THROW(id = sampler.sample(model.logits(length))) << schema << ": " << text;
      sampler.accept(id);
      text += trie->bytes(id);
    }
    bytes += text.size();
    std::string reason;
    EXPECT_TRUE(is_valid(schema, text, reason)) << schema << ": " << text << ": " << reason;
  }
  std::printf("%d samples, %zu bytes; %d schemas refused\n", count, bytes, refused);
  EXPECT_LT(refused, count / 5);
}

TEST(SchemaSamples, AllAreValidWithByteLevelBpe) {
  const text::ByteLevelBpe tokenizer(test::small_bpe());
  expect_valid_samples(tokenizer, static_cast<TokenId>(tokenizer.vocab_size() - 1), test::rounds(1000), 11);
}

TEST(SchemaSamples, AllAreValidWithSentencePiece) {
  const auto tokenizer = text::make_sentencepiece_tokenizer(test::small_sentencepiece(), "m");
  expect_valid_samples(*tokenizer, 2, 300, 12);
}

/// The test above would find a text that is not valid.
TEST(SchemaSamples, TheValidatorRefuses) {
  std::string reason;
  EXPECT_FALSE(is_valid({{"type", "integer"}, {"minimum", 3}}, "2", reason));
  EXPECT_FALSE(reason.empty());
  EXPECT_TRUE(is_valid({{"type", "integer"}, {"minimum", 3}}, "3", reason));
}

}  // namespace
}  // namespace rotor::runtime::grammar
