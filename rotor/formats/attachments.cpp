// Names, types and shapes of the tokenizer's tensors, and the values of the text metadata.
#include "rotor/formats/attachments.h"

#include <algorithm>
#include <limits>

#include "rotor/core/error.h"
#include "rotor/formats/bpe_tables.h"
#include "rotor/formats/json.h"

namespace rotor {
namespace {

constexpr int64_t kAny = -1;

/// A tensor that a kind of tokenizer has; kAny stands for any size of at least `least`.
struct Expected {
  const char* name;
  DType dtype;
  std::vector<int64_t> shape;
  int64_t least = 0;
};

std::vector<Expected> expected_tensors(const std::string& path, const std::string& kind) {
  if (kind.empty()) return {};
  if (kind == rotor_tokenizer::kByteLevelBpe) {
    return {{kBpeTensors[0], DType::u8, {kAny}},        {kBpeTensors[1], DType::u32, {kAny}, 2},
            {kBpeTensors[2], DType::u32, {kAny, 2}, 1}, {kBpeTensors[3], DType::u32, {kAny, 4}, 1},
            {kBpeTensors[4], DType::u32, {256}},        {kBpeTensors[5], DType::u32, {kAny}}};
  }
  if (kind == rotor_tokenizer::kWordPiece) {
    return {{kBpeTensors[0], DType::u8, {kAny}},
            {kBpeTensors[1], DType::u32, {kAny}, 2},
            {kBpeTensors[2], DType::u32, {kAny, 2}, 1},
            {kBpeTensors[5], DType::u32, {kAny}}};
  }
  if (kind == rotor_tokenizer::kSentencePiece) return {{kSentencePieceTensor, DType::u8, {kAny}, 1}};
  fail(path, ": ", rotor_key::kTokenizer, ": \"", kind, "\" is unknown to this program (it knows ",
       rotor_tokenizer::kByteLevelBpe, ", ", rotor_tokenizer::kSentencePiece, " and ",
       rotor_tokenizer::kWordPiece, ")");
}

bool fits(const Expected& expected, const TensorDeclaration& found) {
  if (found.dtype != expected.dtype || found.shape.size() != expected.shape.size()) return false;
  for (size_t i = 0; i < found.shape.size(); ++i) {
    if (expected.shape[i] == kAny ? found.shape[i] < expected.least : found.shape[i] != expected.shape[i])
      return false;
  }
  return found.shape[0] <= std::numeric_limits<uint32_t>::max();  // ids, offsets and slots are 32-bit words
}

std::string describe(const Expected& expected) {
  std::string text = cat(dtype_name(expected.dtype), " [");
  for (size_t i = 0; i < expected.shape.size(); ++i) {
    text += i == 0 ? "" : ", ";
    text += expected.shape[i] == kAny ? cat("at least ", expected.least) : cat(expected.shape[i]);
  }
  return text + "]";
}

int32_t id_from(const std::string& path, const char* key, const Json& json) {
  if (!json.is_number_integer() || json < 0 || json > std::numeric_limits<int32_t>::max()) {
    fail(path, ": ", key, ": expected a token id, found ", quote_json(json));
  }
  return json.get<int32_t>();
}

}  // namespace

void RotorAttachments::set_bos_token(int32_t id) {
  metadata[rotor_key::kBosToken] = cat(id);
}

void RotorAttachments::set_stop_tokens(const std::vector<int32_t>& ids) {
  metadata[rotor_key::kStopTokens] = dump_json(ids);
}

bool is_text_metadata(const std::string& key) {
  return key == rotor_key::kTokenizer || key == rotor_key::kSplitPattern || key == rotor_key::kIgnoreMerges ||
         key == rotor_key::kNormalizer || key == rotor_key::kWordPiece || key == rotor_key::kChatTemplate ||
         key == rotor_key::kStopTokens || key == rotor_key::kBosToken;
}

int text_format_version(const Metadata& metadata) {
  return metadata.contains(rotor_key::kNormalizer) ? 2 : 1;
}

std::string word_piece_settings_to_json(const WordPieceSettings& settings) {
  return dump_json({{"clean_text", settings.clean_text},
                    {"handle_chinese_chars", settings.handle_chinese_chars},
                    {"strip_accents", settings.strip_accents},
                    {"lowercase", settings.lowercase},
                    {"max_input_chars_per_word", settings.max_input_chars_per_word},
                    {"continuing_subword_prefix", settings.continuing_subword_prefix},
                    {"unk_token", settings.unk_token},
                    {"cls_token", settings.cls_token},
                    {"sep_token", settings.sep_token}});
}

WordPieceSettings word_piece_settings(const std::string& path, const Metadata& metadata) {
  const char* key = rotor_key::kWordPiece;
  const auto found = metadata.find(key);
  if (found == metadata.end()) fail(path, ": metadata \"", key, "\" is missing");
  const Json json = parse_json(found->second, cat(path, ": ", key));
  const auto member = [&](const char* name) -> const Json& {
    if (!json.is_object() || !json.contains(name)) {
      fail(path, ": ", key, ": expected an object with \"", name, "\", found ", quote_json(json));
    }
    return json.at(name);
  };
  const auto boolean = [&](const char* name) {
    const Json& value = member(name);
    if (!value.is_boolean())
      fail(path, ": ", key, ": ", name, ": expected true or false, found ", quote_json(value));
    return value.get<bool>();
  };
  WordPieceSettings settings;
  settings.clean_text = boolean("clean_text");
  settings.handle_chinese_chars = boolean("handle_chinese_chars");
  settings.strip_accents = boolean("strip_accents");
  settings.lowercase = boolean("lowercase");
  settings.max_input_chars_per_word = id_from(path, key, member("max_input_chars_per_word"));
  if (settings.max_input_chars_per_word > kMostWordPieceCharacters) {
    fail(path, ": ", key, ": max_input_chars_per_word: expected at most ", kMostWordPieceCharacters,
         ", found ", settings.max_input_chars_per_word);
  }
  const Json& prefix = member("continuing_subword_prefix");
  if (!prefix.is_string() || prefix.get_ref<const std::string&>().size() > kMostWordPiecePrefixBytes) {
    fail(path, ": ", key, ": continuing_subword_prefix: expected at most ", kMostWordPiecePrefixBytes,
         " bytes, found ", quote_json(prefix));
  }
  settings.continuing_subword_prefix = prefix.get<std::string>();
  settings.unk_token = id_from(path, key, member("unk_token"));
  settings.cls_token = id_from(path, key, member("cls_token"));
  settings.sep_token = id_from(path, key, member("sep_token"));
  return settings;
}

TextMetadata text_metadata(const std::string& path, const Metadata& metadata) {
  TextMetadata text;
  const auto find = [&](const char* key) -> const std::string* {
    const auto it = metadata.find(key);
    return it == metadata.end() ? nullptr : &it->second;
  };
  const auto parse = [&](const char* key) { return parse_json(*find(key), cat(path, ": ", key)); };
  if (const auto* kind = find(rotor_key::kTokenizer)) text.tokenizer = *kind;
  if (const auto* chat = find(rotor_key::kChatTemplate)) text.chat_template = *chat;
  if (find(rotor_key::kBosToken) != nullptr) {
    text.bos_token = id_from(path, rotor_key::kBosToken, parse(rotor_key::kBosToken));
  }
  if (find(rotor_key::kStopTokens) != nullptr) {
    const Json ids = parse(rotor_key::kStopTokens);
    if (!ids.is_array())
      fail(path, ": ", rotor_key::kStopTokens, ": expected an array of ids, found ", quote_json(ids));
    for (const Json& id : ids) text.stop_tokens.push_back(id_from(path, rotor_key::kStopTokens, id));
  }
  return text;
}

void check_attachments(const std::string& path, const Metadata& metadata,
                       const std::vector<TensorDeclaration>& tensors) {
  const TextMetadata text = text_metadata(path, metadata);
  const auto expected = expected_tensors(path, text.tokenizer);
  for (const TensorDeclaration& tensor : tensors) {
    const auto match = std::find_if(expected.begin(), expected.end(),
                                    [&](const Expected& entry) { return tensor.name == entry.name; });
    if (match == expected.end()) {
      fail(path, ": tensor \"", tensor.name, "\" is not part of ",
           text.tokenizer.empty() ? "this model, which has no tokenizer" : "a tokenizer " + text.tokenizer);
    }
    if (!fits(*match, tensor)) {
      fail(path, ": tensor \"", tensor.name, "\": expected ", describe(*match), ", found ",
           dtype_name(tensor.dtype), " ", shape_text(tensor.shape));
    }
  }
  for (const Expected& entry : expected) {
    const auto same_name = [&](const TensorDeclaration& tensor) { return tensor.name == entry.name; };
    if (std::count_if(tensors.begin(), tensors.end(), same_name) != 1) {
      fail(path, ": tensor \"", entry.name, "\" of the tokenizer is missing");
    }
  }
  const bool is_bpe = text.tokenizer == rotor_tokenizer::kByteLevelBpe;
  if (const auto normalizer = metadata.find(rotor_key::kNormalizer);
      normalizer != metadata.end() && (!is_bpe || normalizer->second != rotor_normalizer::kNfc)) {
    fail(path, ": ", rotor_key::kNormalizer, ": expected ",
         is_bpe ? cat('"', rotor_normalizer::kNfc, '"') : "none without byte-level BPE", ", found \"",
         normalizer->second, '"');
  }
  const bool is_word_piece = text.tokenizer == rotor_tokenizer::kWordPiece;
  if (!is_bpe && !is_word_piece) return;
  const auto offsets = std::find_if(tensors.begin(), tensors.end(), [](const TensorDeclaration& tensor) {
    return tensor.name == kBpeTensors[1];
  });
  if (offsets->shape[0] > static_cast<int64_t>(BpeTables::kMaxTokens)) {
    fail(path, ": tensor \"", offsets->name, "\": expected at most ", BpeTables::kMaxTokens,
         " offsets, found ", offsets->shape[0]);
  }
  if (is_word_piece) {
    const WordPieceSettings settings = word_piece_settings(path, metadata);
    const int64_t tokens = offsets->shape[0] - 1;
    for (const int32_t id : {settings.unk_token, settings.cls_token, settings.sep_token}) {
      if (id >= tokens) {
        fail(path, ": ", rotor_key::kWordPiece, ": expected ids of 0 to ", tokens - 1, ", found ", id);
      }
    }
    return;
  }
  if (!metadata.contains(rotor_key::kSplitPattern))
    fail(path, ": metadata \"", rotor_key::kSplitPattern, "\" is missing");
  const auto ignore = metadata.find(rotor_key::kIgnoreMerges);
  if (ignore == metadata.end() || (ignore->second != "true" && ignore->second != "false")) {
    fail(path, ": ", rotor_key::kIgnoreMerges, ": expected \"true\" or \"false\", found ",
         ignore == metadata.end() ? "nothing" : '"' + ignore->second + '"');
  }
}

std::vector<TensorDeclaration> tokenizer_tensors(const SafetensorsFile& file) {
  std::vector<TensorDeclaration> tensors;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name.starts_with(kTokenizerPrefix)) tensors.push_back(tensor);
  }
  return tensors;
}

std::vector<std::string> find_tokenizer_faults(const SafetensorsFile& file, size_t limit) {
  const std::string kind = text_metadata(file.path(), file.metadata()).tokenizer;
  if (kind != rotor_tokenizer::kByteLevelBpe && kind != rotor_tokenizer::kWordPiece) return {};
  auto faults = find_bpe_faults(bpe_tables(file), limit);
  for (std::string& fault : faults) fault = cat(file.path(), ": ", fault);
  return faults;
}

}  // namespace rotor
