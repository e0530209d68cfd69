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
  if (kind == rotor_tokenizer::kSentencePiece) return {{kSentencePieceTensor, DType::u8, {kAny}, 1}};
  fail(path, ": ", rotor_key::kTokenizer, ": \"", kind, "\" is unknown to this program (it knows ",
       rotor_tokenizer::kByteLevelBpe, " and ", rotor_tokenizer::kSentencePiece, ")");
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
         key == rotor_key::kNormalizer || key == rotor_key::kChatTemplate || key == rotor_key::kStopTokens ||
         key == rotor_key::kBosToken;
}

int text_format_version(const Metadata& metadata) {
  return metadata.contains(rotor_key::kNormalizer) ? 2 : 1;
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
  if (!is_bpe) return;
  const auto offsets = std::find_if(tensors.begin(), tensors.end(), [](const TensorDeclaration& tensor) {
    return tensor.name == kBpeTensors[1];
  });
  if (offsets->shape[0] > static_cast<int64_t>(BpeTables::kMaxTokens)) {
    fail(path, ": tensor \"", offsets->name, "\": expected at most ", BpeTables::kMaxTokens,
         " offsets, found ", offsets->shape[0]);
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
  if (text_metadata(file.path(), file.metadata()).tokenizer != rotor_tokenizer::kByteLevelBpe) return {};
  auto faults = find_bpe_faults(bpe_tables(file), limit);
  for (std::string& fault : faults) fault = cat(file.path(), ": ", fault);
  return faults;
}

}  // namespace rotor
