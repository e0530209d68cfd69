// What a command line may look like.
#include "rotor/tool/options.h"

#include <gtest/gtest.h>

#include "rotor/core/error.h"

namespace rotor::tool {
namespace {

/// What of a command line arrives, or the error.
std::string parsed(std::vector<std::string> arguments) {
  cxxopts::Options options("rotor run", "");
  options.add_options()("model", "", cxxopts::value<std::string>())("n,count", "", cxxopts::value<int>())(
      "o,out", "", cxxopts::value<std::string>())("q,quiet", "");
  arguments.insert(arguments.begin(), "rotor run");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  try {
    const auto result = parse_options(options, static_cast<int>(argv.size()), argv.data(), {"model"}, "");
    if (!result) return "help";
    std::string text = (*result)["model"].as<std::string>();
    if (result->count("count") != 0) text += cat(" n=", (*result)["count"].as<int>());
    if (result->count("out") != 0) text += " o=" + (*result)["out"].as<std::string>();
    return text + (result->count("quiet") != 0 ? " q" : "");
  } catch (const UsageError& error) {
    return std::string("error: ") + error.what();
  }
}

TEST(Options, ValuesStandApartOrBehindAnEqualSign) {
  EXPECT_EQ(parsed({"m", "-n", "-5", "-o", "a/b.c", "-q"}), "m n=-5 o=a/b.c q");
  EXPECT_EQ(parsed({"--count=5", "--out=-a b", "m"}), "m n=5 o=-a b");
  EXPECT_EQ(parsed({"-qn50", "m"}), "m n=50 q");
}

TEST(Options, ErrorsSayWhereHelpIs) {
  const auto expect = [](const std::vector<std::string>& arguments, const std::string& part) {
    const std::string said = parsed(arguments);
    EXPECT_TRUE(said.starts_with("error: ")) << said;
    EXPECT_NE(said.find(part), std::string::npos) << said;
    EXPECT_TRUE(said.ends_with("; see rotor run --help")) << said;
  };
  expect({}, "expected MODEL");
  expect({"m", "too", "many"}, "unexpected argument \"too\"");
  expect({"m", "--no-such"}, "no-such");
  expect({"m", "-n", "5x"}, "5x");
  expect({"m", "-n"}, "n");
  // A value that is glued to its option is of letters and digits.
  expect({"m", "-oa/b.c"}, "-oa/b.c");
}

}  // namespace
}  // namespace rotor::tool
