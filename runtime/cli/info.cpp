// rotor info: what is in a .rotor file, a GGUF file, a checkpoint directory, an adapter or a safetensors
// file.
#include <cstdio>

#include "rotor/formats/json.h"
#include "rotor/formats/safetensors.h"
#include "rotor/tool/options.h"
#include "rotor/tool/progress.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/describe_model.h"

namespace rotor::runtime::cli {
namespace {

constexpr const char* kInfoExamples =
    "  rotor info fashion.rotor                            architecture, tensors, share of zeros\n"
    "  rotor info --json runs/fashion-mlp/checkpoint       the same of a checkpoint, for scripts\n"
    "  rotor info adapters/poetry                          which layers a LoRA adapter is for, and which "
    "base\n";

void print_text(const Json& json) {
  if (json.contains("scale_convention")) {
    std::printf("  scales: %s\n", json["scale_convention"].get<std::string>().c_str());
  }
  if (!json.contains("tokenizer")) return;
  if (json["tokenizer"].is_null()) {
    std::printf("  tokenizer: none, the model takes and gives ids\n");
  } else {
    std::printf("  tokenizer: %s, %lld tokens\n", json["tokenizer"]["kind"].get<std::string>().c_str(),
                json["tokenizer"]["vocab_size"].get<long long>());
  }
  const auto ids = [&](const char* key) { return json[key].is_null() ? "none" : dump_json(json[key]); };
  std::printf("  begin of text: %s, stop tokens: %s\n", ids("bos_token").c_str(), ids("stop_tokens").c_str());
  std::printf("  chat template: %s\n",
              json["chat_template"].is_null()
                  ? "none"
                  : tool::printable(json["chat_template"].get<std::string>()).c_str());
}

void print_adapter(const Json& json) {
  const auto text = [&](const char* key, const char* unknown) {
    return json[key].is_null() ? std::string(unknown) : tool::printable(json[key].get<std::string>());
  };
  std::printf("  base: %s, fingerprint %s\n", text("base_model", "not named").c_str(),
              text("base_fingerprint", "unknown").c_str());
  for (const Json& layer : json["layers"]) {
    std::printf("  %-40s rank %-4lld scale %.6g\n",
                tool::printable(layer["module"].get<std::string>()).c_str(), layer["rank"].get<long long>(),
                layer["scale"].get<double>());
  }
}

void print(const std::string& path, const Json& json) {
  const std::string format = json["format"].get<std::string>();
  std::printf("%s: %s, %s\n", path.c_str(), json.value("source", format).c_str(),
              tool::bytes_text(json["file_bytes"].get<double>()).c_str());
  if (json.contains("unreadable")) {
    std::printf("  not a model that Rotor converts: %s\n",
                tool::printable(json["unreadable"].get<std::string>()).c_str());
  }
  if (json.contains("parameters")) std::printf("  parameters: %lld\n", json["parameters"].get<long long>());
  if (json.contains("memory_bytes")) {
    std::printf("  memory: %s in all with a context of %lld tokens; a token takes %s of it (f16)\n",
                tool::bytes_text(json["memory_bytes"].get<double>()).c_str(),
                json["context"].get<long long>(),
                tool::bytes_text(json["kv_bytes_per_token"].get<double>()).c_str());
  }
  if (json.contains("fingerprint")) {
    std::printf("  fingerprint: %s\n", json["fingerprint"].get<std::string>().c_str());
  }
  if (json.contains("layers")) print_adapter(json);
  print_text(json);
  for (const char* block : {"metadata", "config"}) {
    if (!json.contains(block)) continue;
    for (const auto& [key, value] : json[block].items()) {
      std::printf("  %s: %s\n", tool::printable(key).c_str(),
                  tool::printable(value.is_string() ? value.get<std::string>() : dump_json(value)).c_str());
    }
  }
  for (const Json& tensor : json["tensors"]) {
    std::printf("  %-28s %-8s %-16s %10s", tool::printable(tensor["name"].get<std::string>()).c_str(),
                tensor["dtype"].get<std::string>().c_str(),
                shape_text(tensor["shape"].get<std::vector<int64_t>>()).c_str(),
                tool::bytes_text(tensor["bytes"].get<double>()).c_str());
    if (tensor.contains("sparsity")) {
      std::printf("   %4.1f %% zeros", 100 * tensor["sparsity"].get<double>());
      if (tensor.contains("scale")) std::printf(", scale %.6g", tensor["scale"].get<double>());
    }
    std::printf("\n");
  }
}

}  // namespace

int info(int argc, char** argv) {
  cxxopts::Options options(
      "rotor info",
      "Describes a .rotor file, a GGUF file, a checkpoint directory, a LoRA adapter or a safetensors file: "
      "architecture, tensors, what scales mean, tokenizer, chat template.");
  options.add_options()("model", "file or directory", cxxopts::value<std::string>())("json", "print JSON");
  const auto parsed = tool::parse_options(options, argc, argv, {"model"}, kInfoExamples);
  if (!parsed) return 0;
  const auto path = (*parsed)["model"].as<std::string>();
  const Json json = describe_model(path);
  if (parsed->count("json") != 0) {
    std::printf("%s\n", dump_json(json, 2).c_str());
  } else {
    print(path, json);
  }
  return 0;
}

}  // namespace rotor::runtime::cli
