// Parsing of both formats.
#include "rotor/text/bpe_loader.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <unordered_map>

#include "rotor/core/error.h"
#include "rotor/formats/json.h"
#include "rotor/text/bpe_letters.h"

namespace rotor::text {
namespace {

constexpr size_t kLlama3Tokens = 128'000;
constexpr size_t kLlama3Specials = 256;

int64_t token_id(const Json& json, const std::string& path) {
  if (!json.is_number_integer()) fail(path, ": token id: expected an integer, found ", quote_json(json));
  return json.get<int64_t>();
}

std::vector<BpeDefinition::Merge> read_merges(const Json& merges, const Json& vocab,
                                              const std::string& path) {
  std::unordered_map<std::string_view, TokenId> ids;  // looked up some 800,000 times for Llama 3
  ids.reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) ids.emplace(token, static_cast<TokenId>(token_id(id, path)));
  const auto id_of = [&](std::string_view token) {
    const auto found = ids.find(token);
    if (found == ids.end()) fail(path, ": merges: \"", token, "\" is no token");
    return found->second;
  };
  std::vector<BpeDefinition::Merge> result;
  result.reserve(merges.size());
  for (const Json& entry : merges) {
    std::string left;
    std::string right;
    if (entry.is_array()) {
      left = entry.at(0).get<std::string>();
      right = entry.at(1).get<std::string>();
    } else {
      const auto text = entry.get<std::string>();
      const size_t space = text.find(' ');
      if (space == std::string::npos) fail(path, ": merges: expected two tokens, found \"", text, "\"");
      left = text.substr(0, space);
      right = text.substr(space + 1);
    }
    result.push_back({id_of(left), id_of(right), id_of(left + right)});
  }
  return result;
}

/// The regular expression of the pre-tokenizer. Other kinds of pre-tokenizer would cut differently: refused
/// by name.
std::string read_split_pattern(const Json& json, const std::string& path) {
  const Json& pre = json.at("pre_tokenizer");
  if (pre.is_object() && pre.value("type", "") == "Sequence") {
    const Json& steps = pre.at("pretokenizers");
    if (steps.size() == 2 && steps[0].value("type", "") == "Split" &&
        steps[0].at("pattern").contains("Regex") && steps[1].value("type", "") == "ByteLevel" &&
        !steps[1].value("use_regex", true) && !steps[1].value("add_prefix_space", true)) {
      return steps[0]["pattern"]["Regex"].get<std::string>();
    }
  }
  fail(path,
       ": pre_tokenizer: expected a Split by Regex and a ByteLevel without regex and prefix space, found ",
       quote_json(pre));
}

bool read_normalize_nfc(const Json& json, const std::string& path) {
  const Json normalizer = json.value("normalizer", Json());
  if (normalizer.is_null()) return false;
  if (!normalizer.is_object() || normalizer.value("type", Json()) != "NFC")
    fail(path, ": normalizer: expected null or NFC, found ", quote_json(normalizer));
  return true;
}

/// Ids that `count` tokens may have: some may be left out, but a short file does not make a long table.
int64_t most_ids(size_t count) {
  constexpr size_t kMaxTokens = size_t{1} << 24;
  constexpr size_t kMaxLeftOut = size_t{1} << 16;
  return static_cast<int64_t>(std::min(kMaxTokens, count + kMaxLeftOut));
}

void place(std::vector<std::string>& tokens, int64_t id, int64_t most, std::string bytes,
           const std::string& path) {
  if (id < 0 || id >= most) fail(path, ": token id: expected 0 to ", most - 1, ", found ", id);
  if (tokens.size() <= static_cast<size_t>(id)) tokens.resize(static_cast<size_t>(id) + 1);
  if (!tokens[static_cast<size_t>(id)].empty()) fail(path, ": token id ", id, " stands twice");
  tokens[static_cast<size_t>(id)] = std::move(bytes);
}

BpeDefinition parse_tokenizer_json(const Json& json, const std::string& path) {
  const Json& model = json.at("model");
  if (model.value("type", "") != "BPE") {
    fail(path, ": model.type: expected BPE or WordPiece, found ", quote_json(model.value("type", Json())));
  }
  BpeDefinition definition;
  definition.normalize_nfc = read_normalize_nfc(json, path);
  definition.split_pattern = read_split_pattern(json, path);
  definition.ignore_merges = model.value("ignore_merges", false);
  const Json& vocab = model.at("vocab");
  definition.tokens.reserve(vocab.size() + kLlama3Specials);
  const Json added_tokens = json.value("added_tokens", Json::array());
  const int64_t most = most_ids(vocab.size() + added_tokens.size());
  std::set<std::string> names;
  for (const Json& added : added_tokens) {
    const auto name = added.at("content").get<std::string>();
    const int64_t id = token_id(added.at("id"), path);
    if (definition.normalize_nfc && added.value("normalized", false)) {
      // It would be looked for after normalization: another text where a mark follows.
      fail(path, ": added token \"", name, "\": normalized: expected false with a normalizer, found true");
    }
    place(definition.tokens, id, most, name, path);
    if (const auto it = vocab.find(name); it != vocab.end() && *it != id) {
      fail(path, ": added token \"", name, "\": expected the id that it has in the vocabulary, ", it->dump(),
           ", found ", id);
    }
    names.insert(name);
    definition.specials.emplace_back(name, static_cast<TokenId>(id));
  }
  for (const auto& [token, id] : vocab.items()) {  // where added tokens stand too, no letters are meant
    if (!names.contains(token))
      place(definition.tokens, token_id(id, path), most, bytes_of_letters(token, path), path);
  }
  definition.merges = read_merges(model.at("merges"), vocab, path);
  return definition;
}

/// Appends the bytes of a base64 text; false if it is none.
bool decode_base64(std::string_view text, std::string& bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (text.empty() || text.size() % 4 != 0) return false;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool pad = i + padding >= text.size();
    const size_t value = pad ? 0 : kAlphabet.find(text[i]);
    if (value == std::string_view::npos) return false;
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 != 3) continue;
    const size_t count = i + 1 == text.size() ? 3 - padding : 3;
    for (size_t k = 0; k < count; ++k) bytes.push_back(static_cast<char>(bits >> (16 - 8 * k) & 255));
    bits = 0;
  }
  return true;
}

/// Llama 3's special tokens by their place after the 128,000 (meta-llama/llama-models,
/// models/llama3/tokenizer.py).
std::string llama3_special(size_t index) {
  switch (index) {
    case 0:
      return "<|begin_of_text|>";
    case 1:
      return "<|end_of_text|>";
    case 6:
      return "<|start_header_id|>";
    case 7:
      return "<|end_header_id|>";
    case 9:
      return "<|eot_id|>";
    default:
      return cat("<|reserved_special_token_", index < 6 ? index - 2 : index == 8 ? 4 : index - 5, "|>");
  }
}

}  // namespace

BpeDefinition read_tokenizer_json(const Json& json, const std::string& path) {
  try {
    return parse_tokenizer_json(json, path);
  } catch (const Json::exception& e) {
    fail(path, ": not a tokenizer.json of byte-level BPE: ", e.what());
  }
}

BpeDefinition read_tiktoken(std::string_view contents, const std::string& path) {
  BpeDefinition definition;
  definition.split_pattern = kLlama3SplitPattern;
  const int64_t most = most_ids(static_cast<size_t>(std::count(contents.begin(), contents.end(), '\n')) + 1);
  for (size_t line_number = 1; !contents.empty(); ++line_number) {
    const size_t end = std::min(contents.find('\n'), contents.size());
    std::string_view line = contents.substr(0, end);
    contents.remove_prefix(std::min(end + 1, contents.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    int64_t rank = -1;
    std::string bytes;
    if (space != std::string_view::npos)
      std::from_chars(line.data() + space + 1, line.data() + line.size(), rank);
    if (rank < 0 || !decode_base64(line.substr(0, space), bytes)) {
      fail(path, ":", line_number, ": expected base64, a space and a rank, found \"", line.substr(0, 40),
           "\"");
    }
    place(definition.tokens, rank, most, std::move(bytes), path);
  }
  if (definition.tokens.size() == kLlama3Tokens) {
    for (size_t i = 0; i < kLlama3Specials; ++i) {
      definition.specials.emplace_back(llama3_special(i), static_cast<TokenId>(definition.tokens.size()));
      definition.tokens.push_back(llama3_special(i));
    }
  }
  return definition;
}

}  // namespace rotor::text
