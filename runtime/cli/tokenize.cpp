// rotor tokenize: text to token ids, and back.
#include <cstdio>
#include <iostream>
#include <iterator>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/tokenizer.h"
#include "rotor/tool/options.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/jsonl_texts.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kTokenizeExamples =
    "  rotor tokenize model.rotor \"Hello, world\"               with the tokenizer in a model file\n"
    "  rotor tokenize tokenizer.json \"Hello, world\"            [9906,11,1917]\n"
    "  rotor tokenize tokenizer.model --special \"<|eot_id|>\"\n"
    "  rotor tokenize tokenizer.model --jsonl texts.jsonl       one array a line of {\"text\": ...}\n"
    "  rotor tokenize tokenizer.model --decode \"[9906, 11]\"\n"
    "  rotor tokenize tokenizer.model < book.txt\n";

void print_ids(const text::Tokenizer& tokenizer, const std::string& text, text::SpecialTokens special) {
  std::printf("%s\n", dump_json(tokenizer.encode(text, special)).c_str());
}

void tokenize_lines(const text::Tokenizer& tokenizer, const std::string& path, text::SpecialTokens special) {
  for_each_jsonl_text(path, [&](const std::string& text) { print_ids(tokenizer, text, special); });
}

std::vector<text::TokenId> parse_ids(const std::string& argument) {
  const Json json = parse_json(argument, "--decode");
  std::vector<text::TokenId> ids;
  for (const Json& id : json) {
    if (!json.is_array() || !id.is_number_integer())
      fail("--decode: expected an array of ids, found ", quote_json(json));
    const bool fits =
        id.is_number_unsigned() && id.get<uint64_t>() <= std::numeric_limits<text::TokenId>::max();
    if (!fits) fail("--decode: expected token ids, found ", quote_json(id));
    ids.push_back(id.get<text::TokenId>());
  }
  return ids;
}

}  // namespace

int tokenize(int argc, char** argv) {
  cxxopts::Options options(
      "rotor tokenize",
      "Prints the token ids of a text as a JSON array. The text is an argument, standard input, or\n"
      "the \"text\" of each line of a JSON-lines file. No begin-of-text token is added.");
  options.add_options()("tokenizer",
                        "model file, checkpoint directory, tokenizer.json, tokenizer.model or vocab.txt",
                        cxxopts::value<std::string>())("text", "the text (default: standard input)",
                                                       cxxopts::value<std::string>())(
      "jsonl", "file with a line {\"text\": ...} a text", cxxopts::value<std::string>())(
      "decode", "print the text of a JSON array of ids", cxxopts::value<std::string>())(
      "special", "parse special tokens in the text");
  const auto parsed = tool::parse_options(options, argc, argv, {"tokenizer"}, kTokenizeExamples, {"text"});
  if (!parsed) return 0;
  const auto tokenizer = text::load_tokenizer((*parsed)["tokenizer"].as<std::string>());
  const auto special =
      parsed->count("special") != 0 ? text::SpecialTokens::parse : text::SpecialTokens::as_text;
  if (parsed->count("decode") != 0) {
    const std::string decoded = tokenizer->decode(parse_ids((*parsed)["decode"].as<std::string>()));
    std::fwrite(decoded.data(), 1, decoded.size(), stdout);
    std::printf("\n");
  } else if (parsed->count("jsonl") != 0) {
    tokenize_lines(*tokenizer, (*parsed)["jsonl"].as<std::string>(), special);
  } else if (parsed->count("text") != 0) {
    print_ids(*tokenizer, (*parsed)["text"].as<std::string>(), special);
  } else {
    print_ids(*tokenizer, {std::istreambuf_iterator<char>(std::cin), {}}, special);
  }
  return 0;
}

}  // namespace rotor::runtime::cli
