// JSON with a checksum over itself.
#include "train/data/token_manifest.h"

#include <algorithm>
#include <filesystem>
#include <regex>

#include "rotor/core/error.h"
#include "rotor/formats/checksum.h"

namespace rotor::train {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;

std::string manifest_path(const std::string& directory) {
  return directory + "/manifest.json";
}

Json optional_id(const std::optional<text::TokenId>& id) {
  return id ? Json(*id) : Json();
}

Json describe_files(const std::vector<TextFile>& files) {
  Json list = Json::array();
  for (const TextFile& file : files) {
    list.push_back({{"name", file.name}, {"bytes", file.file_bytes}, {"mtime_ns", file.mtime_ns}});
  }
  return list;
}

Json to_json(const SplitInfo& info) {
  Json shards = Json::array();
  for (const ShardInfo& shard : info.shards) {
    shards.push_back({{"tokens", shard.tokens}, {"checksum", shard.checksum}});
  }
  return {{"documents", info.documents},
          {"tokens", info.tokens},
          {"text_bytes", info.text_bytes},
          {"documents_checksum", info.documents_checksum},
          {"shards", shards}};
}

/// Throws Error or a JSON exception if the numbers do not fit together.
SplitInfo to_split_info(const Json& json, int64_t shard_tokens) {
  SplitInfo info;
  info.documents = json.at("documents").get<int64_t>();
  info.tokens = json.at("tokens").get<int64_t>();
  info.text_bytes = json.at("text_bytes").get<int64_t>();
  info.documents_checksum = json.at("documents_checksum").get<std::string>();
  int64_t left = info.tokens;
  for (const Json& shard : json.at("shards")) {
    info.shards.push_back({shard.at("tokens").get<int64_t>(), shard.at("checksum").get<std::string>()});
    if (left <= 0 || info.shards.back().tokens != std::min(left, shard_tokens)) fail("shards do not add up");
    left -= info.shards.back().tokens;
  }
  if (left != 0 || info.documents < 0 || info.documents > info.tokens) fail("counts do not add up");
  return info;
}

/// The checksum over all but the field that holds it.
std::string self_checksum(Json manifest) {
  manifest["checksum"] = kBlankChecksum;
  const std::string text = dump_json(manifest);
  return checksum({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

/// What differs between two keys, for people.
std::string difference(const Json& old_key, const Json& key) {
  for (const auto& [name, value] : key.items()) {
    if (old_key.contains(name) && old_key.at(name) == value) continue;
    return cat("the ", name, " changed since the tokens in this folder were made");
  }
  return "the settings changed";
}

}  // namespace

Json token_cache_key(const TextDataConfig& config, const CorpusTokenizer& tokenizer, size_t piece_bytes,
                     const std::vector<TextFile>& files, const std::vector<TextFile>& validation_files) {
  Json settings = {
      {"type", config.type}, {"piece_bytes", piece_bytes}, {"shard_tokens", config.shard_tokens}};
  if (config.type == "jsonl") settings["text_field"] = config.text_field;
  if (config.validation_path.empty()) settings["validation_fraction"] = config.validation_fraction;
  return {
      {"version", kVersion},
      {"tokenizer",
       {{"hash", tokenizer.hash},
        {"vocab_size", tokenizer.tokenizer->vocab_size()},
        {"bos", optional_id(tokenizer.bos)},
        {"eos", optional_id(tokenizer.eos)}}},
      {"settings", settings},
      {"sources", {{"path", describe_files(files)}, {"validation_path", describe_files(validation_files)}}}};
}

void write_manifest(const std::string& directory, const Json& key, const TokenManifest& manifest) {
  Json json = {
      {"key", key}, {"train", to_json(manifest.train)}, {"validation", to_json(manifest.validation)}};
  json["checksum"] = self_checksum(json);
  write_file(manifest_path(directory), dump_json(json, 1) + "\n");
}

std::optional<TokenManifest> read_manifest(const std::string& directory, const Json& key,
                                           int64_t shard_tokens, std::string& reason) {
  reason.clear();
  const std::string path = manifest_path(directory);
  if (!fs::exists(path)) return std::nullopt;
  try {
    const Json json = read_json_file(path);
    if (json.at("checksum") != self_checksum(json)) fail("the checksum is wrong");
    if (json.at("key") != key) {
      reason = difference(json.at("key"), key);
      return std::nullopt;
    }
    return TokenManifest{to_split_info(json.at("train"), shard_tokens),
                         to_split_info(json.at("validation"), shard_tokens)};
  } catch (const std::exception& e) {
    reason = cat(path, " is damaged: ", e.what());
    return std::nullopt;
  }
}

void remove_tokens(const std::string& directory) {
  static const std::regex ours(
      R"((manifest\.json|(train|validation)(-[0-9]+\.bin|\.documents))(\.tmp-[-0-9]+)?)");
  std::error_code error;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (std::regex_match(entry.path().filename().string(), ours)) files.push_back(entry.path());
  }
  if (!error) fs::remove(manifest_path(directory), error);
  if (error) fail(directory, ": cannot remove the old tokens: ", error.message());
  sync_directory(directory);
  for (const fs::path& file : files) {
    fs::remove(file, error);
    if (error) fail(file.string(), ": cannot remove: ", error.message());
  }
}

}  // namespace rotor::train
