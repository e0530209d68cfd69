// JSON schemas as grammars: values that must and must not come, schemas that are refused and where, and the
// JSON Schema organisation's own test suite (Debian's json-schema-test-suite 2.0.0).
#include "runtime/grammar/json_schema.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "rotor/core/error.h"
#include "tests/support/temp_dir.h"

namespace rotor::runtime::grammar {
namespace {

using test::expect_error;

std::shared_ptr<const Grammar> compile(const std::string& schema) {
  return compile_json_schema(parse_ordered_json(schema, "s"), "s.json");
}

void expect_texts(const std::string& schema, const std::vector<std::string>& members,
                  const std::vector<std::string>& others) {
  const auto grammar = compile(schema);
  for (const std::string& text : members) EXPECT_TRUE(grammar->matches(text)) << schema << ": " << text;
  for (const std::string& text : others) EXPECT_FALSE(grammar->matches(text)) << schema << ": " << text;
}

TEST(JsonSchema, IntegersKeepTheirRange) {
  for (const auto& [min, max] :
       std::vector<std::pair<int, int>>{{-5, 123}, {0, 0}, {7, 11}, {30, 30}, {-130, -9}, {95, 1005}}) {
    for (const int multiple : {1, 3, 10}) {
      const auto grammar = compile(cat(R"({"type":"integer","minimum":)", min, R"(,"exclusiveMaximum":)",
                                       max + 1, R"(,"multipleOf":)", multiple, "}"));
      for (int value = -1200; value <= 1200; ++value) {
        ASSERT_EQ(grammar->matches(std::to_string(value)),
                  value >= min && value <= max && value % multiple == 0)
            << min << " " << max << " " << multiple << " " << value;
      }
    }
  }
  expect_texts(R"({"type":"integer"})", {"0", "-1", "999999999999999999"},
               {"-0", "01", "1.0", "1e3", "+1", ""});
  expect_texts(R"({"type":"integer","exclusiveMinimum":1.5,"maximum":3.5})", {"2", "3"}, {"1", "4"});
  expect_texts(R"({"type":"integer","multipleOf":1000,"minimum":-1500,"maximum":3000})",
               {"-1000", "0", "3000"}, {"-2000", "4000", "500"});
}

/// Against the same comparisons in double.
TEST(JsonSchema, NumbersKeepTheirRange) {
  const std::vector<std::string> bounds = {"-12.5", "-1", "-0.05", "0", "0.3", "1", "1.25", "10.07"};
  for (size_t low = 0; low < bounds.size(); ++low) {
    for (size_t high = low; high < bounds.size(); ++high) {
      for (const bool exclusive : {false, true}) {
        if (exclusive && low == high) continue;
        const auto grammar = compile(
            cat(R"({"type":"number",")", exclusive ? "exclusiveMinimum" : "minimum", "\":", bounds[low],
                ",\"", exclusive ? "exclusiveMaximum" : "maximum", "\":", bounds[high], "}"));
        const double min = std::stod(bounds[low]);
        const double max = std::stod(bounds[high]);
        for (const char* sign : {"", "-"}) {
          for (const char* text :
               {"0.0",  "0.04",      "0.05", "0.050", "0.051", "0.3",   "0.29",  "0.31", "1",    "1.0", "1.2",
                "1.25", "1.2500001", "1.3",  "9",     "10.07", "10.06", "10.08", "11",   "12.5", "13"}) {
            const std::string number = cat(sign, text);
            const double value = std::stod(number);
            if (value == 0 && *sign != '\0') continue;  // -0 is never made
            const bool inside = exclusive ? value > min && value < max : value >= min && value <= max;
            EXPECT_EQ(grammar->matches(number), inside)
                << number << " in " << bounds[low] << " " << bounds[high];
          }
        }
      }
    }
  }
  expect_texts(R"({"type":"number"})", {"0", "-0.5", "1e10", "12.25E-3"}, {".5", "1.", "01", "1e400", "NaN"});
  expect_texts(R"({"type":"number","multipleOf":0.01,"minimum":0})", {"1.23", "5", "0.1"}, {"1.234", "-1"});
}

TEST(JsonSchema, StringsKeepLengthPatternAndFormat) {
  expect_texts(R"({"type":"string"})", {R"("")", R"("a\"\\\u00e9\ud83d\ude00")", "\"é\""},
               {"\"", "\"\n\"", R"("\ud83d")", R"("\x")", "\"\xC3\""});
  expect_texts(R"({"type":"string","minLength":2,"maxLength":4})",
               {R"("ab")", R"("\u00e9é")", R"("\ud83d\ude00xyz")"}, {R"("a")", R"("abcde")"});
  expect_texts(R"({"type":"string","maxLength":3000})", {"\"" + std::string(3000, 'x') + "\""},
               {"\"" + std::string(3001, 'x') + "\""});
  expect_texts(R"({"pattern":"^[a-z]+@\\d{2,3}$"})", {R"("a@12")"}, {R"("a@1")", R"("xA@12")", R"("a@12 ")"});
  expect_texts(R"({"pattern":"b\"(?:x|[^\\w\"]){2}"})", {R"("ab\"x-c")", R"("b\"\n ")"},
               {R"("b\"ax")", R"("b")"});
  expect_texts(R"({"pattern":"^a|b$"})", {R"("ax")", R"("xb")"}, {R"("xa")", R"("bx")"});
  expect_texts(R"({"pattern":"^[0-9]{3}$","minLength":2,"maxLength":3})", {R"("123")"}, {R"("12")"});
  expect_texts(
      R"({"format":"date"})", {R"("2024-02-29")", R"("2000-02-29")", R"("2023-12-31")"},
      {R"("2023-02-29")", R"("1900-02-29")", R"("2023-04-31")", R"("2023-13-01")", R"("2023-00-10")"});
  expect_texts(R"({"format":"date-time"})", {R"("2024-01-31T23:59:59.5Z")", R"("2024-01-31T00:00:00+01:30")"},
               {R"("2024-01-31 00:00:00Z")", R"("2024-01-31T24:00:00Z")", R"("2024-01-31T00:00:00")"});
  expect_texts(R"({"format":"ipv4"})", {R"("255.0.10.199")"},
               {R"("256.0.0.1")", R"("01.2.3.4")", R"("1.2.3")"});
  expect_texts(R"({"format":"ipv6"})", {R"("::")", R"("1::8")", R"("1:2:3:4:5:6:7:8")"},
               {R"("1::2::3")", R"("1:2")"});
  expect_texts(R"({"format":"uuid"})", {R"("12345678-1234-abCD-0000-0123456789ab")"},
               {R"("12345678-1234-abCD-0000-0123456789a")"});
  expect_texts(R"({"format":"email"})", {R"("a.b@example.org")"}, {R"("a@b@c")", R"(".a@b")", R"("a")"});
}

TEST(JsonSchema, ObjectsKeepTheirMembers) {
  const std::string schema = R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"},
      "c":{"type":"boolean"}},"required":["b"],"additionalProperties":false})";
  expect_texts(schema, {R"({"b":1})", R"({"a":"x","b":1,"c":true})", "{ \"a\": \"x\",\n  \"b\": 1\n}"},
               {"{}", R"({"a":"x"})", R"({"b":1,"a":"x"})", R"({"b":1,})", R"({"b":1,"d":2})", R"({"b":"1"})",
                R"({,"b":1})", "{  \"b\":1}", R"({"b":1} )"});
  expect_texts(R"({"properties":{"ab":{"type":"string"}},"additionalProperties":{"type":"integer"}})",
               {"{}", R"({"ab":"x"})", R"({"abc":1,"a":2,"":3})", R"({"ab":"","b":1})"},
               {R"({"ab":1})", R"({"a":"x"})"});
  expect_texts(R"({"type":"object"})", {"{}", R"({"a":{"b":[1,{"c":null}]}})"}, {"[]", R"({a:1})"});
  expect_texts(R"({"additionalProperties":{"type":"null"},"minProperties":1,"maxProperties":2})",
               {R"({"a":null})", R"({"a":null,"b":null})"}, {"{}", R"({"a":null,"b":null,"c":null})"});
  expect_texts(R"({"required":["x"],"properties":{"y":true,"z":false}})",
               {R"({"x":[]})", R"({"y":1,"x":{}})"}, {"{}", R"({"z":1,"x":1})"});
}

TEST(JsonSchema, ArraysKeepTheirItems) {
  expect_texts(R"({"items":{"type":"integer"},"minItems":2,"maxItems":3})", {"[1,2]", "[1, 2,\n 3]"},
               {"[]", "[1]", "[1,2,3,4]", "[1,]", "[1,\"a\"]"});
  expect_texts(
      R"({"prefixItems":[{"type":"integer"},{"type":"string"}],"items":{"type":"null"},"minItems":1})",
      {"[1]", R"([1,"a"])", R"([1,"a",null,null])"}, {"[]", R"(["a"])", "[1,null]"});
  expect_texts(R"({"items":[{"type":"integer"}],"additionalItems":false})", {"[]", "[1]"}, {"[1,1]"});
  expect_texts(R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"});
}

TEST(JsonSchema, ValuesAndCombinations) {
  expect_texts(R"({"enum":["a",1,null,{"x":[1,2]}]})", {R"("a")", "1", "null", R"({"x": [1, 2]})"},
               {"2", R"("b")"});
  expect_texts(R"({"type":"string","enum":["a",1,"bb"],"minLength":2})", {R"("bb")"}, {R"("a")", "1"});
  expect_texts(R"({"const":"é\n"})", {R"("é\n")"}, {R"("e")"});
  expect_texts(R"({"type":["string","null"],"maxLength":1})", {"null", R"("a")"}, {R"("ab")", "1"});
  expect_texts(R"({"allOf":[{"properties":{"a":{"minimum":2}},"required":["a"]},
                            {"type":"object","properties":{"a":{"type":"integer","maximum":3},"b":true}}]})",
               {R"({"a":2})", R"({"a":3,"b":[]})"}, {"{}", R"({"a":1})", R"({"a":4})", R"({"a":2.5})"});
  expect_texts(
      R"({"allOf":[{"properties":{"a":true},"additionalProperties":false,"type":"object"},{"properties":{"b":true}}]})",
      {"{}", R"({"a":1})"}, {R"({"b":1})"});
  expect_texts(R"({"oneOf":[{"properties":{"k":{"const":"x"},"n":{"type":"integer"}},"required":["k","n"]},
                            {"properties":{"k":{"const":"y"}},"required":["k"]}]})",
               {R"({"k":"x","n":1})", R"({"k":"y"})"}, {R"({"k":"x"})", R"({"k":"z"})"});
  expect_texts(R"({"anyOf":[{"type":"integer"},{"type":"string"}],"minimum":3})", {"3", R"("a")"},
               {"2", "null"});
}

TEST(JsonSchema, ReferencesMayRecur) {
  expect_texts(R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},
                   "next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"]}},"$ref":"#/$defs/n"})",
               {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":null}})"},
               {R"({"v":1})", R"({"v":1,"next":{}})"});
  expect_texts(R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"});
  expect_texts(R"({"definitions":{"a/b~c%":{"const":1}},"$ref":"#/definitions/a~1b~0c%25"})", {"1"}, {"2"});
  // Two lists in one another at once, for ever.
  expect_texts(R"({"$defs":{"a":{"type":"object","properties":{"c":{"$ref":"#/$defs/a"}}},
                            "b":{"type":"object","properties":{"c":{"$ref":"#/$defs/b"},"d":true}}},
                   "allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}]})",
               {"{}", R"({"c":{"c":{}},"d":1})"}, {R"({"c":1})"});
}

TEST(JsonSchema, DeepValuesComeToAnEnd) {
  const auto grammar = compile(R"({"type":"array","items":{"$ref":"#"}})");
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(grammar->matches(nested(50)));
  EXPECT_FALSE(grammar->matches(nested(70)));  // parse_json takes 64
}

TEST(JsonSchema, SaysWhatItCannotKeep) {
  const auto refused = [](const std::string& schema, const std::vector<std::string>& parts) {
    expect_error([&] { compile(schema); }, parts);
  };
  refused(R"({"properties":{"a/b":{"patternProperties":{}}}})",
          {"s.json", "#/properties/a~1b/patternProperties"});
  for (const char* keyword :
       {"not", "if", "contains", "propertyNames", "dependentRequired", "minimun", "nullable"}) {
    refused(cat("{\"", keyword, "\":true}"), {cat("#/", keyword)});
  }
  refused(R"({"uniqueItems":true})", {"#/uniqueItems"});
  refused(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", {"#/oneOf"});
  refused(R"({"oneOf":[{"required":["a"]},{"required":["b"]}]})", {"#/oneOf"});
  refused(R"({"pattern":"(?=a)b"})", {"#/pattern", "character 1"});
  refused(R"({"pattern":"a\\1"})", {"#/pattern", "character 2"});
  refused(R"({"pattern":"a\\b"})", {"#/pattern"});
  refused(R"({"pattern":"a+","maxLength":4})", {"#/maxLength"});
  refused(R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})", {"#/pattern"});
  refused(R"({"format":"json-pointer"})", {"#/format", "ipv4", "json-pointer"});
  refused(R"({"type":"number","multipleOf":0.3})", {"#/multipleOf"});
  refused(R"({"type":"integer","multipleOf":12345})", {"#/multipleOf", "12345"});
  refused(R"({"type":"number","minimum":0.1234567890123456789})", {"#/minimum", "digits"});
  refused(R"({"additionalProperties":true,"minProperties":2})", {"#/minProperties"});
  refused(R"({"$ref":"#/$defs/x"})", {"#/$ref"});
  refused(R"({"$ref":"other.json"})", {"#/$ref", "within"});
  refused(R"({"$ref":"#"})", {"itself"});
  refused(R"({"allOf":[{"$ref":"#"}]})", {"itself"});
  refused("false", {"none"});
  refused(R"({"type":"integer","minimum":5,"maximum":4})", {"none"});
  refused(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})", {"none"});
}

TEST(JsonSchema, SaysWhatIsBroken) {
  const auto refused = [](const std::string& schema, const std::vector<std::string>& parts) {
    expect_error([&] { compile(schema); }, parts);
  };
  refused("5", {"#", "a schema", "found 5"});
  refused(R"({"type":"text"})", {"#/type", "text"});
  refused(R"({"type":["string",1]})", {"#/type"});
  refused(R"({"properties":{"a":1}})", {"#/properties"});
  refused(R"({"minLength":-1})", {"#/minLength", "-1"});
  refused(R"({"minItems":1.5})", {"#/minItems", "1.5"});
  refused(R"({"required":"a"})", {"#/required"});
  refused(R"({"enum":[]})", {"#/enum"});
  refused(R"({"anyOf":[]})", {"#/anyOf"});
  refused(R"({"anyOf":[3]})", {"#/anyOf"});
  refused(R"({"multipleOf":0})", {"#/multipleOf"});
  refused(R"({"minimum":"1"})", {"#/minimum"});
  refused(R"({"pattern":"[z-a]"})", {"#/pattern", "ascends"});
  refused(R"({"$ref":1})", {"#/$ref"});
}

TEST(JsonSchema, TextAroundItAndAnyObject) {
  const auto grammar =
      compile_json_schema(OrderedJson{{"type", "null"}}, "s", {.before = "<call>\n", .after = "</call>"});
  EXPECT_TRUE(grammar->matches("<call>\nnull</call>"));
  EXPECT_FALSE(grammar->matches("null"));
  EXPECT_TRUE(any_json_object()->matches(R"({"a":[1,{"b":-2e3}],"c":"\u00e9"})"));
  EXPECT_FALSE(any_json_object()->matches("[]"));
}

/// Schemas that ask for themselves where they are compared or tried, which no $ref that is still open shows.
TEST(JsonSchema, RecursionThatNoValueNeedsIsRefused) {
  const std::string recursive =
      R"({"type":"object","properties":{"x":{"$ref":"#/$defs/NAME"}},"required":["x"]})";
  const auto named = [&](const std::string& name) {
    std::string text = recursive;
    return text.replace(text.find("NAME"), 4, name);
  };
  expect_error(
      [&] {
        compile(cat(R"({"oneOf":[{"$ref":"#/$defs/A"},{"$ref":"#/$defs/B"}],"$defs":{"A":)", named("A"),
                    ",\"B\":", named("B"), "}}"));
      },
      {"s.json: #/oneOf", "branches that differ"});
  for (const char* values : {R"("enum":[{}])", R"("const":{})"}) {
    expect_error(
        [&] {
          compile(cat(R"({"$ref":"#/$defs/A","$defs":{"A":{"type":"object",)", values,
                      R"(,"properties":{"x":{"$ref":"#/$defs/A"}}}}})"));
        },
        {"s.json: #/$defs/A", "at most 8 schemas with enum or const"});
  }
  // A list of constants within constants, where it ends.
  expect_texts(R"({"enum":[{"a":1},{"a":2}],"properties":{"a":{"enum":[2,3],"minimum":0}}})", {R"({"a":2})"},
               {R"({"a":1})", R"({"a":3})"});
}

/// The time is bounded by counting, on every machine alike: without, each of these takes minutes and more.
TEST(JsonSchema, HostileSchemasAreRefusedSoon) {
  const auto too_much = [](const std::string& schema) {
    ASSERT_LT(schema.size(), size_t{256} << 10);
    expect_error([&] { compile(schema); }, {"s.json: ", "steps of work, found more"});
  };
  std::string doubled = R"({"$ref":"#/$defs/A30","$defs":{"A0":{"type":"string"})";
  for (int i = 1; i <= 30; ++i) {
    const std::string below = cat(R"({"$ref":"#/$defs/A)", i - 1, "\"}");
    doubled += cat(",\"A", i, R"(":{"allOf":[)", below, ",", below, "]}");
  }
  too_much(doubled + "}}");
  // Members of a list that never agree.
  std::string lists;
  for (int i = 0; i < 12000; ++i) lists += cat(i > 0 ? "," : "", i);
  std::string others;
  for (int i = 0; i < 12000; ++i) others += cat(i > 0 ? "," : "", i, ".5");
  too_much(cat(R"({"allOf":[{"enum":[)", lists, "]},{\"enum\":[", others, "]}]}"));
  // A large schema that is written out for each of its names.
  std::string branches;
  for (int i = 0; i < 1500; ++i)
    branches += cat(i > 0 ? "," : "", R"({"$ref":"#/$defs/A","title":")", i, "\"}");
  too_much(cat(R"({"anyOf":[)", branches, R"(],"$defs":{"A":{"const":")", std::string(150000, 'a'), "\"}}}"));
  // A long name in front of many schemas, in the place of each.
  std::string items;
  for (int i = 0; i < 2000; ++i) items += cat(i > 0 ? "," : "", R"({"const":)", i, "}");
  too_much(cat(R"({"properties":{")", std::string(100000, 'n'), R"(":{"anyOf":[)", items, "]}}}"));
  // A long value beside a pattern that it fits in many ways.
  too_much(cat(R"({"const":")", std::string(20000, 'a'), R"(","pattern":"^(a|aa){0,20000}$"})"));
}

TEST(JsonSchema, LargeSchemasAreRefused) {
  expect_error([] { compile(cat(R"({"const":")", std::string(size_t{256} << 10, 'a'), "\"}")); },
               {"s.json: expected a schema of at most 262144 bytes"});
  std::string members;
  for (int i = 0; i < 2001; ++i) members += cat(i > 0 ? "," : "", "\"m", i, "\":true");
  const std::string object = cat(R"({"properties":{)", members, "}}");
  expect_error([&] { compile(object); }, {"s.json: #/properties", "at most 2000 properties"});
  expect_error([&] { compile(cat("{\"allOf\":[", object, "]}")); },
               {"s.json: #/allOf/0/properties", "at most 2000 properties"});
  expect_error(
      [] {
        compile(
            cat(R"({"properties":{")", std::string(100000, 'n'), R"(":true},"additionalProperties":true})"));
      },
      {"s.json: #/additionalProperties", "256 bytes"});
}

/// What people ask for is far from the limits.
TEST(JsonSchema, ManyMembersAndBranchesAreTaken) {
  std::string members;
  for (int i = 0; i < 1900; ++i) {
    members +=
        cat(i > 0 ? "," : "", "\"m", i, R"(":{"type":"object","properties":{"a":{"type":"integer"}}})");
  }
  expect_texts(cat(R"({"type":"object","properties":{)", members, "}}"), {R"({"m7":{"a":1},"m1899":{}})"},
               {R"({"m1900":{}})"});
  std::string branches;
  for (int i = 0; i < 200; ++i) {
    branches += cat(i > 0 ? "," : "", R"({"properties":{"k":{"const":)", i, R"(},"v":{"type":"string"}},)",
                    R"("required":["k","v"]})");
  }
  expect_texts(cat("{\"oneOf\":[", branches, "]}"), {R"({"k":199,"v":"x"})"}, {R"({"k":200,"v":"x"})"});
}

/// Each schema is either refused or takes nothing that is not valid under it.
TEST(JsonSchema, KeepsTheTestSuiteOfTheJsonSchemaOrganisation) {
  const std::filesystem::path suite = "/usr/share/json-schema-test-suite/tests/draft7";
  ASSERT_TRUE(std::filesystem::is_directory(suite)) << "scripts/setup.sh installs json-schema-test-suite";
  int compiled = 0;
  int refused = 0;
  int taken = 0;
  int invalid = 0;
  for (const auto& entry : std::filesystem::directory_iterator(suite)) {
    if (entry.path().extension() != ".json") continue;
    for (const auto& group : OrderedJson::parse(test::read_bytes(entry.path()))) {
      std::shared_ptr<const Grammar> grammar;
      try {
        grammar = compile_json_schema(group["schema"], "s");
      } catch (const Error&) {
        ++refused;
        continue;
      }
      ++compiled;
      for (const auto& instance : group["tests"]) {
        const bool matches = grammar->matches(instance["data"].dump());
        if (instance["valid"] == OrderedJson(true)) {
          taken += matches ? 1 : 0;
          continue;
        }
        ++invalid;
        EXPECT_FALSE(matches) << entry.path().filename() << ": " << group["description"] << ": " << instance;
      }
    }
  }
  std::printf("%d schemas compiled, %d refused; %d valid values taken, %d others looked at\n", compiled,
              refused, taken, invalid);
  EXPECT_GT(compiled, 60);
  EXPECT_GT(taken, 90);
  EXPECT_GT(invalid, 100);
}

}  // namespace
}  // namespace rotor::runtime::grammar
