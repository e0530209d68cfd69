// Reading of the common flags.
#include "runtime/cli/model_options.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "rotor/core/error.h"
#include "rotor/tool/progress.h"

namespace rotor::runtime::cli {

void add_model_options(cxxopts::Options& options, const std::string& default_kv) {
  options.add_options()("model", ".rotor file", cxxopts::value<std::string>())(
      "t,threads", "threads (default: all cores)", cxxopts::value<int64_t>())(
      "pin", "bind each thread to a core of its own: for a machine that does nothing else")(
      "backend", "backend to run on (default: the first that runs here)", cxxopts::value<std::string>())(
      "kv", "keys and values in f32, f16 or q8 (int8)",
      cxxopts::value<std::string>()->default_value(default_kv))(
      "activations", "int8, or float: inputs of ternary layers unquantized, slow, for comparisons",
      cxxopts::value<std::string>()->default_value("int8"))(
      "b,batch-size", "tokens of a prompt computed at once", cxxopts::value<int64_t>()->default_value("128"))(
      "no-mmap", "read the model into memory of our own (huge pages): a slower start, faster afterwards")(
      "mlock", "keep the model from being paged out")("check", "verify the whole file first");
}

void add_head_screening_option(cxxopts::Options& options) {
  options.add_options()("head-screening",
                        "on | off | auto: read only those rows of the head that can matter, by its low-bit "
                        "copy in the file; only "
                        "where not all logits are wanted (greedy, --top-k)",
                        cxxopts::value<std::string>()->default_value("auto"));
}

ModelOptions read_model_options(const cxxopts::ParseResult& parsed) {
  ModelOptions options;
  if (parsed.count("model") != 0) options.path = parsed["model"].as<std::string>();
  if (parsed.count("threads") != 0) {
    options.model.threads = parsed["threads"].as<int64_t>();
    if (options.model.threads < 1 || options.model.threads > 1024) {
      fail("--threads: expected 1 to 1024, found ", options.model.threads);
    }
  }
  options.model.pin = parsed.count("pin") != 0;
  if (parsed.count("backend") != 0) options.model.backend = parsed["backend"].as<std::string>();
  const auto activations = parsed["activations"].as<std::string>();
  if (activations != "int8" && activations != "float") {
    fail("--activations: expected int8 or float, found \"", activations, "\"");
  }
  options.model.float_activations = activations == "float";
  options.model.check = parsed.count("check") != 0;
  options.model.memory = {.copy = parsed.count("no-mmap") != 0, .lock = parsed.count("mlock") != 0};
  if (parsed.count("head-screening") != 0) {
    try {
      options.session.head_screening = head_screening_from_name(parsed["head-screening"].as<std::string>());
    } catch (const Error& e) {
      throw tool::UsageError(cat("--head-screening: ", e.what()));
    }
  }
  const auto kv = parsed["kv"].as<std::string>();
  if (kv != "f32" && kv != "f16" && kv != "q8") fail("--kv: expected f32, f16 or q8, found \"", kv, "\"");
  options.session.kv = dense_type_from_name(kv);
  options.session.batch = parsed["batch-size"].as<int64_t>();
  if (options.session.batch < 1 || options.session.batch > 65536) {
    fail("--batch-size: expected 1 to 65536, found ", options.session.batch);
  }
  return options;
}

void say_backend(const LanguageModel& model) {
  const Backend& backend = model.backend();
  std::fprintf(stderr, "backend %s, kernels %s, %s\n", backend.name().c_str(), backend.kernels().c_str(),
               tool::count_text(backend.threads(), "thread").c_str());
}

const text::Tokenizer& need_tokenizer(const LanguageModel& model, const std::string& instead) {
  if (model.tokenizer() == nullptr) fail(model.file().path(), ": the file holds no tokenizer: ", instead);
  return *model.tokenizer();
}

std::string read_text_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path)) fail(path, ": cannot read the file");
  std::string text;
  text.assign(std::istreambuf_iterator<char>(file), {});
  if (file.bad()) fail(path, ": cannot read the file");
  return text;
}

}  // namespace rotor::runtime::cli
